"""How PostgreSQL is reached: every wait for it has an end, on the server's side and on ours.

A line that is cut without a reset tells nobody. The kernel's own limits (`tcp_user_timeout`, keepalives) end a wait
only where the other machine is gone: while its kernel, or that of a proxy or a pooler in between, acknowledges what was
sent, psycopg waits for an answer for ever. So does everyone who waits for that thread: the lease, the commits, the
gateway.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from sqlalchemy import URL, Connection, Engine, create_engine, event

IDLE_MS = 5_000
"""How long a transaction may do nothing before the server ends it."""
CONNECT_S = 5
"""How long a connection may take to be made, and no longer than an answer."""

KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when an answer does not come in time, in whatever call that is."""

    answer_s: float | None = None
    """how long one answer may take; None: for ever"""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for an answer.

        Raises psycopg.OperationalError when none came in time; what was asked may still have been done.
        """
        if timeout is not None or self.answer_s is None:
            return super().wait(gen, interval, timeout)
        until = time.monotonic() + self.answer_s
        try:
            return super().wait(gen, interval, self.answer_s)
        except psycopg.OperationalError as error:
            if time.monotonic() < until:
                raise
            # Closed, so that SQLAlchemy takes it for lost, and every older connection with it: it was told nothing, so
            # an answer that comes after all would be taken for the next statement's.
            self.close()
            raise psycopg.OperationalError(f"no answer within {self.answer_s:g} s") from error


def connect_to(url: URL, pool_size: int, answer_s: float) -> Engine:
    """Return an engine that waits no longer than that for one answer. Opens no connection yet."""
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=10,
        pool_timeout=10,
        pool_pre_ping=True,
        connect_args=arguments(answer_s),
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, args: list[Any], named: dict[str, Any]) -> BoundedConnection:
        connection = BoundedConnection.connect(*args, **named)
        connection.answer_s = answer_s
        return connection

    # Rows go in one statement, not through psycopg's pipeline: after a pipeline PostgreSQL 15 was seen not to start
    # the clock of an idle transaction, and never ended it.
    engine.dialect.use_insertmanyvalues_wo_returning = True
    return engine


def detached(engine: Engine) -> BoundedConnection:
    """Return a connection of one's own, outside the pool and outside transactions, with the same limits.

    Raises what psycopg and the pool raise.
    """
    pooled = engine.raw_connection()
    driver = pooled.driver_connection
    assert isinstance(driver, BoundedConnection)
    pooled.detach()
    driver.autocommit = True
    return driver


def arguments(answer_s: float) -> dict[str, Any]:
    """Return psycopg's arguments for a connection on which one answer may take so many seconds.

    The server gives up before we do, so that it says why and keeps no lock for someone who has gone: a statement after
    three quarters of the time, and a wait for a lock, after which the transaction is repeated, after half of it.
    """
    told = {
        # The statements are written for this level: where one waited for a rival, the next sees what that committed. An
        # administrator may have set another for the database or the role; under `serializable`, while the tables are
        # small, a submission was seen to fail six times in a row.
        "default_transaction_isolation": "read\\ committed",
        # A process that stands still in mid-transaction (SIGSTOP, a suspended machine) keeps its row locks, and whoever
        # wants them, the reaper first, would wait as long as it does. So the server ends such a session.
        "idle_in_transaction_session_timeout": IDLE_MS,
        "lock_timeout": int(answer_s * 500),
        "statement_timeout": int(answer_s * 750),
    }
    return {
        **KEEPALIVE,
        "connect_timeout": min(CONNECT_S, int(answer_s)),
        # An unacknowledged write gives up after so many ms, where the other machine is gone.
        "tcp_user_timeout": 10_000,
        "options": " ".join(f"-c {name}={value}" for name, value in told.items()),
    }


@contextmanager
def patiently(connection: Connection) -> Iterator[None]:
    """Let statements of this transaction take as long as they need, such as those that build an index."""
    if connection.dialect.name != "postgresql":
        yield
        return
    for name in ("lock_timeout", "statement_timeout"):
        connection.exec_driver_sql(f"SET LOCAL {name} = 0")
    driver: Any = connection.connection.driver_connection
    usual, driver.answer_s = driver.answer_s, None
    try:
        yield
    finally:
        driver.answer_s = usual
