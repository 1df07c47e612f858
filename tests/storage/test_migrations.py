"""The migrations and the tables say the same, on both databases."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine, inspect

from migrations import check, configuration, upgrade
from storage.session import connect
from storage.tables import metadata
from tests.conftest import POSTGRESQL
from tests.support.absent import absent
from tests.support.life import Life


@pytest.fixture
def empty_postgresql_url() -> Iterator[str]:
    """A PostgreSQL database without any table."""
    name = f"sightline_empty_{uuid4().hex[:12]}"
    try:
        with psycopg.connect(POSTGRESQL, autocommit=True, connect_timeout=3) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError as error:
        absent(f"PostgreSQL does not answer: {error}")
    yield POSTGRESQL.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of each kind."""
    url = f"sqlite:///{tmp_path}/empty.db"
    engine = connect(url if request.param == "sqlite" else request.getfixturevalue("empty_postgresql_url"))
    yield engine
    engine.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def indexes(engine: Engine) -> dict[str, str]:
    """Return each index's name and, where it is partial, its condition."""
    found = {}
    for table in tables(engine):
        for index in inspect(engine).get_indexes(table):
            where = index["dialect_options"].get(f"{engine.dialect.name}_where")
            found[str(index["name"])] = "" if where is None else str(where)
    return found


def test_upgrading_an_empty_database_makes_the_tables(empty: Engine) -> None:
    # given an empty database
    assert tables(empty) == set()
    # when it is upgraded
    upgrade(empty)
    # then it is what the tables say, and a job can be submitted
    check(empty)
    assert tables(empty) == set(metadata.tables)
    Life(empty).submit()


def test_the_indexes_and_their_conditions_are_those_of_the_tables(empty: Engine) -> None:
    # given a migrated database, and one made from the tables (which `check` does not compare conditions of)
    upgrade(empty)
    migrated = indexes(empty)
    with empty.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    # when their indexes are compared
    # then they are the same
    assert migrated == indexes(empty)
    assert any(migrated.values())


def test_what_was_upgraded_can_be_taken_back_and_upgraded_again(empty: Engine) -> None:
    # given a migrated database
    upgrade(empty)
    # when it is taken back to nothing
    command.downgrade(configuration(empty), "base")
    # then nothing is left, and it can be upgraded again
    assert tables(empty) == set()
    upgrade(empty)
    check(empty)


def test_upgrading_twice_changes_nothing(empty: Engine) -> None:
    # given a migrated database with a job
    upgrade(empty)
    job_id = Life(empty).submit()
    # when it is upgraded again
    upgrade(empty)
    # then the job is there
    assert Life(empty).state(job_id) == "queued"


@pytest.mark.service
def test_two_upgrades_at_once_wait_for_each_other(empty: Engine) -> None:
    # given two processes that start together on an empty database (Alembic upgrades once at a time in one process)
    url = empty.url.render_as_string(hide_password=False).replace("+psycopg", "")
    program = (
        "import sys; from migrations import upgrade; from storage.session import connect; upgrade(connect(sys.argv[1]))"
    )
    starting = [sys.executable, "-W", "error", "-c", program, url]
    root = Path(__file__).parents[2]
    # when both upgrade
    both = [subprocess.Popen(starting, cwd=root, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    # then neither fails and the tables are there
    assert [process.returncode for process in both] == [0, 0], said
    check(empty)
