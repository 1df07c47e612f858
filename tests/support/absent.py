"""What becomes of a test whose server, or whose right to break something, is not there."""

import os
from typing import NoReturn

import pytest


def absent(reason: str) -> NoReturn:
    """Skip with the reason, or fail with SIGHTLINE_REQUIRE_SERVICES=1: where nothing may be missing."""
    if os.environ.get("SIGHTLINE_REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
