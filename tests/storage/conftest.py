"""A database with jobs in it."""

import pytest
from sqlalchemy import Engine

from tests.support.life import Life


@pytest.fixture
def life(engine: Engine) -> Life:
    """Short ways to say what happens in a fresh database of each kind."""
    return Life(engine)
