"""Systems to break: every pairing of database and broker that an operator would choose."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import BROKERS
from tests.support.system import System, system

PAIRS = [("sqlite", "embedded"), ("postgresql", "redis"), ("postgresql", "rabbitmq")]


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[System]:
    """A system with leases of 3 s, nothing started but its broker."""
    database, broker = request.param
    url = request.getfixturevalue(f"{database}_url")
    with BROKERS[broker](tmp_path) as there, system(url, there.url, tmp_path, there.prefix) as made:
        yield made
