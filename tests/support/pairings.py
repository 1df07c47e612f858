"""Pairings of database and broker by name, for faults that need not be tried on all of them."""

import pytest

from tests.conftest import PAIRS

EMBEDDED, REDIS, RABBITMQ = PAIRS


def on(*pairs: tuple[str, str]) -> pytest.MarkDecorator:
    """Run a test that asks for `one` on these pairings alone."""
    return pytest.mark.parametrize("one", pairs, ids=["-".join(pair) for pair in pairs], indirect=True)
