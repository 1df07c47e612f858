"""Tests of the labelled sets."""
