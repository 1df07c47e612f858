"""Tests of what is in `workers/modelling/`."""
