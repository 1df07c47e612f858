"""Engines and transactions, and what is done when a database says no.

On SQLite a transaction that writes takes the write lock at its start (`BEGIN IMMEDIATE`): with a lock taken half-way,
two readers that both want to write would deadlock at once (SQLITE_BUSY without waiting).
"""

import logging
import random
import sqlite3
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import StatementGivenUp, StorageFull, StorageUnavailable
from storage.postgresql import connect_to
from storage.settings import ANSWER_S

__all__ = ["Connection", "Engine", "connect", "read", "write"]  # the two types, for those who only pass them on

log = logging.getLogger(__name__)

T = TypeVar("T")

REPEATABLE = frozenset({"40001", "40P01", "55P03"})
"""SQLSTATEs after which the same transaction may simply be repeated: serialisation, deadlock, lock not available."""

REPEAT_S = 15.0
"""For how long a transaction is begun again. Whoever asked for it waits meanwhile, in a thread that others need."""
PAUSE_S = 0.5
"""The longest pause before it is begun again: rivals for the same rows must come apart."""

FULL = frozenset({"53100"})
"""SQLSTATE of a full disk."""


UNWILLING = frozenset({"25006", "25P03"})
"""SQLSTATEs of a server that is read-only for now (a failover), and of a transaction that it ended as idle."""

TOO_LONG, TOO_MUCH = "57014", "54"
"""The SQLSTATE of a statement that took too long, and the class of those that break one of the server's limits."""


def connect(url: str, *, pool_size: int = 10, answer_s: float = ANSWER_S) -> Engine:
    """Return an engine for a `sqlite:///` or `postgresql://` URL. Opens no connection yet.

    `answer_s` is how long it may take for one answer, or SQLite's lock to come free, before it counts as one that does
    not answer.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, pool_size=pool_size, max_overflow=10, connect_args={"timeout": answer_s})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() == "postgresql":
        return connect_to(parsed, pool_size, answer_s)
    raise StorageUnavailable(f"no such database: {parsed.render_as_string()}; use sqlite:/// or postgresql://")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    # FULL: in WAL mode, NORMAL leaves what was committed last to a power cut, an accepted job as soon as anything.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
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

    Raises StorageUnavailable (StatementGivenUp where it is this that the database cannot take) or StorageFull; nothing
    is half-written.
    """
    return _transact(engine, work, arguments, named)


def _transact(engine: Engine, work: Callable[..., T], arguments: tuple[Any, ...], named: dict[str, Any]) -> T:
    until = time.monotonic() + REPEAT_S
    for attempt in count(1):
        done = False
        try:
            with engine.begin() as connection:
                answer = work(connection, *arguments, **named)
                done = True
            return answer
        except PoolTimeout as error:
            raise StorageUnavailable("all database connections are busy; try again") from error
        except DBAPIError as error:
            if not _repeatable(error) or time.monotonic() > until:
                raise _translated(error, committing=done) from error
            log.info("transaction repeated", extra={"event": "transaction.repeated", "attempt": attempt})
            time.sleep(random.uniform(0, min(0.02 * 2**attempt, PAUSE_S)))  # noqa: S311  (spreads repeats only)
    raise AssertionError("unreachable")


def _repeatable(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in REPEATABLE


def _translated(error: DBAPIError, *, committing: bool) -> Exception:
    """Turn what a database says when it cannot be reached or is full into the domain's words; pass on the rest."""
    told = str(error.orig)
    state = getattr(error.orig, "sqlstate", None) or ""
    if state in FULL or "database or disk is full" in told:
        return StorageFull("the database's disk is full; free space and try again")
    if state == TOO_LONG or state.startswith(TOO_MUCH):
        # psycopg calls these operational errors too, as if the server were away. The same would fail again for ever.
        return StatementGivenUp(f"the database gave up: {told.splitlines()[0]}")
    if state in UNWILLING or isinstance(error, OperationalError) or error.connection_invalidated:
        said = f"the database does not answer: {told.splitlines()[0] if told else 'no reason given'}"
        if committing and error.connection_invalidated:
            # The answer to the COMMIT is lost, and with it whether it was done. It must not be taken for undone.
            said += "; it may have been stored: look, or try again with the same idempotency key"
        return StorageUnavailable(said)
    return error
