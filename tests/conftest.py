"""Fixtures for every test: databases and brokers, each test with its own, against real servers.

A server that is absent skips its tests with the reason; with SIGHTLINE_REQUIRE_SERVICES=1 it fails them.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine

from migrations import upgrade
from storage.session import connect
from storage.settings import Settings
from tests.support.absent import absent

if TYPE_CHECKING:
    from tests.support.system import System

# A busy machine is slow now and then; what must be fast has a test of its own that says how fast.
hypothesis_settings.register_profile("thorough", deadline=None)
hypothesis_settings.register_profile("quick", deadline=None, max_examples=15)
hypothesis_settings.register_profile("long", deadline=None, max_examples=5_000)
hypothesis_settings.load_profile("thorough")

POSTGRESQL = os.environ.get("SIGHTLINE_TEST_POSTGRESQL", "postgresql://root@127.0.0.1:5432/postgres")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of one guard be picked: see tests/guards."""
    parser.addoption("--guard", metavar="NAME", help="run only the tests that hold this guard")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as `database` what works on one, and as `unit` whatever is marked as nothing heavier."""
    wanted = config.getoption("--guard")
    if wanted:
        items[:] = [item for item in items if any(wanted in mark.args for mark in item.iter_markers("guard"))]
    for item in items:
        if {"sqlite_template", "database_url"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.database)
        if not {"service", "fault", "model", "slow", "database"} & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.unit)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to copy."""
    path = tmp_path_factory.mktemp("template") / "sightline.db"
    engine = connect(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgresql_template() -> Iterator[str]:
    """The name of a migrated PostgreSQL database, to copy."""
    name = f"sightline_template_{uuid4().hex[:12]}"
    try:
        with psycopg.connect(POSTGRESQL, autocommit=True, connect_timeout=3) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError as error:
        absent(f"PostgreSQL does not answer: {error}")
    engine = connect(_database(name))
    upgrade(engine)
    engine.dispose()
    yield name
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _database(name: str) -> str:
    return POSTGRESQL.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite database."""
    shutil.copy(sqlite_template, tmp_path / "sightline.db")
    return f"sqlite:///{tmp_path / 'sightline.db'}"


@pytest.fixture
def postgresql_url(postgresql_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated PostgreSQL database."""
    name = f"sightline_test_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    yield _database(name)
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a fresh, migrated database of each kind."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of an installation of its own, on each database."""
    return Settings(data=tmp_path / "data", database_url=database_url)


PAIRS = [("sqlite", "embedded"), ("postgresql", "redis"), ("postgresql", "rabbitmq")]
"""The pairings of database and broker that an operator would choose."""


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator["System"]:
    """A system on each pairing, with leases of 3 s, nothing started but its broker."""
    from tests.support.brokers import BROKERS
    from tests.support.system import system

    database, broker = request.param
    url = request.getfixturevalue(f"{database}_url")
    with BROKERS[broker](tmp_path) as there, system(url, there.url, tmp_path, there.prefix) as made:
        yield made


def rabbitmqctl(*arguments: str) -> None:
    """Run an administrative command of the local RabbitMQ."""
    try:
        subprocess.run(["rabbitmqctl", "-q", *arguments], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        absent(f"RabbitMQ does not answer: {error}")
