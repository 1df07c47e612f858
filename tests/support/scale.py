"""How much of the fault matrix is run."""

import os

import pytest

FULL = os.environ.get("SIGHTLINE_FAULT_SCALE") == "full"
only_in_full = pytest.mark.skipif(not FULL, reason="runs with SIGHTLINE_FAULT_SCALE=full")
"""For what the default run covers on another combination."""
