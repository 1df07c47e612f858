"""A database with jobs in it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from storage.session import connect
from tests.support.life import Life


@pytest.fixture
def life(engine: Engine) -> Life:
    """Short ways to say what happens in a fresh database of each kind."""
    return Life(engine)


@pytest.fixture
def postgresql_engine(postgresql_url: str) -> Iterator[Engine]:
    """An engine on a fresh PostgreSQL database, for races that only a database with row locks can have."""
    engine = connect(postgresql_url)
    yield engine
    engine.dispose()
