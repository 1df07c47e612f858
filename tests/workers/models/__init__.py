"""Tests of what is in `workers/models/`."""
