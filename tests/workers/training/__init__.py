"""Tests of what is in `workers/training/`."""
