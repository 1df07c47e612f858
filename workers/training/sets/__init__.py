"""Labelled sets: finding them on disk, splitting them by group, telling one from another."""
