"""Engines and transactions, and what is done when a database says no.

On SQLite a transaction that writes takes the write lock at its start (`BEGIN IMMEDIATE`): with a lock taken half-way,
two readers that both want to write would deadlock at once (SQLITE_BUSY without waiting).
"""

import logging
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import StorageFull, StorageUnavailable

__all__ = ["Connection", "Engine", "connect", "read", "write"]  # the two types, for those who only pass them on

log = logging.getLogger(__name__)

T = TypeVar("T")

REPEATABLE = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATEs after which the same transaction may simply be repeated: serialisation, deadlock, lock not available."""

IDLE_MS = 5_000
"""How long a transaction on PostgreSQL may do nothing before the server ends it."""
LOCK_MS = 10_000
"""How long a statement on PostgreSQL waits for a lock before the transaction is repeated."""

FULL = frozenset({"53100"})
"""SQLSTATE of a full disk."""


UNWILLING = frozenset({"25006", "25P03"})
"""SQLSTATEs of a server that is read-only for now (a failover), and of a transaction that it ended as idle."""


def connect(url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine for a `sqlite:///` or `postgresql://` URL. Opens no connection yet."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, pool_size=pool_size, max_overflow=10, connect_args={"timeout": 30})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() == "postgresql":
        options: dict[str, int | str] = {"connect_timeout": 5}
        options |= {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
        # An unacknowledged write gives up after so many ms: a cut without a reset must not block for 15 minutes.
        options["tcp_user_timeout"] = 10_000
        # A process that stands still in mid-transaction (SIGSTOP, a suspended machine) keeps its row locks, and whoever
        # wants them, the reaper first, would wait as long as it does. So the server ends such a session.
        options["options"] = f"-c idle_in_transaction_session_timeout={IDLE_MS} -c lock_timeout={LOCK_MS}"
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=10,
            pool_timeout=10,
            pool_pre_ping=True,
            connect_args=options,
        )
        # Rows go in one statement, not through psycopg's pipeline: after a pipeline PostgreSQL 15 was seen not to start
        # the clock of an idle transaction, and never ended it.
        engine.dialect.use_insertmanyvalues_wo_returning = True
        return engine
    raise StorageUnavailable(f"no such database: {parsed.render_as_string()}; use sqlite:/// or postgresql://")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("sightline_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def read(engine: Engine, work: Callable[..., T], *arguments: Any, **named: Any) -> T:  # noqa: ANN401
    """Run `work(connection, ...)` in a transaction that only reads.

    Raises StorageUnavailable when the database does not answer.
    """
    return _transact(engine.execution_options(sightline_reads=True), work, arguments, named)


def write(engine: Engine, work: Callable[..., T], *arguments: Any, **named: Any) -> T:  # noqa: ANN401
    """Run `work(connection, ...)` in one transaction; repeat it after deadlocks and serialisation failures.

    Raises StorageUnavailable or StorageFull when the database cannot take it; nothing is half-written.
    """
    return _transact(engine, work, arguments, named)


def _transact(engine: Engine, work: Callable[..., T], arguments: tuple[Any, ...], named: dict[str, Any]) -> T:
    for attempt in range(1, 7):
        try:
            with engine.begin() as connection:
                return work(connection, *arguments, **named)
        except PoolTimeout as error:
            raise StorageUnavailable("all database connections are busy; try again") from error
        except DBAPIError as error:
            if not _repeatable(error) or attempt == 6:
                raise _translated(error) from error
            log.info("transaction repeated", extra={"event": "transaction.repeated", "attempt": attempt})
            time.sleep(random.uniform(0.01, 0.05) * attempt)  # noqa: S311  (spreads repeats, keeps no secret)
    raise AssertionError("unreachable")


def _repeatable(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in REPEATABLE


def _translated(error: DBAPIError) -> Exception:
    """Turn what a database says when it cannot be reached or is full into the domain's words; pass on the rest."""
    told = str(error.orig)
    if getattr(error.orig, "sqlstate", None) in FULL or "database or disk is full" in told:
        return StorageFull("the database's disk is full; free space and try again")
    unwilling = getattr(error.orig, "sqlstate", None) in UNWILLING
    if unwilling or isinstance(error, OperationalError) or error.connection_invalidated:
        return StorageUnavailable(
            f"the database does not answer: {told.splitlines()[0] if told else 'no reason given'}"
        )
    return error
