"""Measurements: modules to run by hand, each of which prints what it found."""
