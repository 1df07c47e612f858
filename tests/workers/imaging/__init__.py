"""Tests of what is in `workers/imaging/`."""
