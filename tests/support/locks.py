"""Locks that a test holds in the database, so that a worker stands still in the middle of a transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.support.system import System
from tests.support.waiting import eventually


@contextmanager
def held(one: System, statement: str) -> Iterator[psycopg.Connection]:
    """Hold on PostgreSQL what a statement locks, for as long as the block runs."""
    with psycopg.connect(one.settings.database_url) as connection:
        connection.execute(statement)
        yield connection
        connection.rollback()


@contextmanager
def written_by_nobody_else(one: System) -> Iterator[None]:
    """Hold SQLite's write lock for as long as the block runs."""
    connection = sqlite3.connect(one.settings.database_url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def somebody_waits(one: System, statement: str, within_s: float = 15.0) -> None:
    """Wait until a session of this database waits for a lock with a statement like this one (SQL LIKE)."""
    look = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE %s"
    )
    with psycopg.connect(one.settings.database_url, autocommit=True) as connection:

        def waits() -> bool:
            row = connection.execute(look, (statement,)).fetchone()
            return row is not None and row[0] > 0

        eventually(waits, within_s, f"somebody waits for a lock with {statement!r}\n{one.logs()}")
