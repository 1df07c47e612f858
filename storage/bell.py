"""Waking those who wait for a change of the database: LISTEN/NOTIFY on PostgreSQL, a cheap poll on SQLite.

A wake-up is a hint. Whoever waits looks for itself, and looks again after a while without one.
"""

import logging
import sqlite3
import time

import psycopg
from sqlalchemy import Connection, Engine, PoolProxiedConnection, text
from sqlalchemy.exc import SQLAlchemyError

from storage.postgresql import BoundedConnection, detached

log = logging.getLogger(__name__)

CHANNEL = "sightline"
POLL_S = 0.02
SILENCE_S = 30.0
"""After how long without a notification the line is tried: one that was cut without a reset is silent for ever."""


def notify(connection: Connection) -> None:
    """Wake the waiters when this transaction commits."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


class Waiter:
    """Waits for changes, on a connection of its own. For one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listening: BoundedConnection | None = None
        self._heard = 0.0
        self._watching: PoolProxiedConnection | None = None
        self._seen: int | None = None

    def wait(self, timeout_s: float) -> None:
        """Return after a change, or after the time-out; early rather than late, and never because of an error."""
        try:
            if self._engine.dialect.name == "postgresql":
                self._wait_for_notify(timeout_s)
            else:
                self._wait_for_write(timeout_s)
        except (psycopg.Error, sqlite3.Error, SQLAlchemyError) as error:
            log.warning("changes cannot be seen", extra={"event": "bell.lost", "reason": str(error)})
            self.close()
            time.sleep(min(timeout_s, 0.5))

    def close(self) -> None:
        """Give the connection back."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        if self._watching is not None:
            self._watching.close()
            self._watching = self._seen = None

    def _wait_for_notify(self, timeout_s: float) -> None:
        if self._listening is None:
            self._listening = detached(self._engine)
            self._listen()
            return  # what happened before the LISTEN was not heard: look at once
        if time.monotonic() - self._heard > SILENCE_S:
            self._listen()
        for _ in self._listening.notifies(timeout=timeout_s, stop_after=1):
            self._heard = time.monotonic()

    def _listen(self) -> None:
        assert self._listening is not None
        self._listening.execute(f"LISTEN {CHANNEL}")  # once more changes nothing, and needs an answer
        self._heard = time.monotonic()

    def _wait_for_write(self, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        if self._watching is None:
            self._watching = self._engine.raw_connection()
        cursor = self._watching.cursor()
        while time.monotonic() < until:
            # data_version differs when another connection has committed. It is comparable with an earlier one of the
            # same connection only, so one is kept.
            version = cursor.execute("PRAGMA data_version").fetchone()[0]
            if version != self._seen:
                self._seen = version
                return
            time.sleep(POLL_S)
