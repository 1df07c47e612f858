"""What becomes of a transaction when the database says no."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, text

from domain.errors import StatementGivenUp, StorageUnavailable
from storage import session
from storage.session import connect, read, write


def _store(connection: Connection) -> None:
    connection.execute(text("INSERT INTO tenants (name, created_at) VALUES ('acme', now())"))


def test_what_sqlite_has_committed_is_on_the_disk(sqlite_url: str) -> None:
    # given two connections at once
    engine = connect(sqlite_url)

    def level(connection: Connection) -> int:
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one())

    # when they are asked when they flush
    levels = read(engine, lambda connection: [level(connection), read(engine, level)])
    # then each does so at every commit (2: FULL), not only at a checkpoint
    assert levels == [2, 2]
    engine.dispose()


@pytest.mark.service
def test_a_server_that_takes_no_writes_for_now_counts_as_one_that_does_not_answer(postgresql_engine: Engine) -> None:
    # given a server in the middle of a failover
    name = postgresql_engine.url.database
    with postgresql_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    postgresql_engine.dispose()
    # when something is written, then it is told as what a retry can help
    with pytest.raises(StorageUnavailable, match="read-only"):
        write(postgresql_engine, _store)


@pytest.mark.service
def test_a_connection_that_is_cut_in_mid_transaction_is_told_and_the_next_one_serves(postgresql_engine: Engine) -> None:
    # given a transaction whose server process is ended
    def cut(connection: Connection) -> None:
        _store(connection)
        with postgresql_engine.connect() as other:
            mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": mine})
        _store(connection)

    # when it goes on, then it fails as a whole
    with pytest.raises(StorageUnavailable):
        write(postgresql_engine, cut)
    # and the next finds a connection, and nothing half-written
    write(postgresql_engine, _store)


@pytest.mark.service
@pytest.mark.guard("database: conflicts and deadlocks are repeated")
def test_writers_that_conflict_all_succeed_in_the_end(postgresql_engine: Engine) -> None:
    # given eight writers that each read and raise one number, at a level at which rivals fail
    strict = postgresql_engine.execution_options(isolation_level="SERIALIZABLE")
    write(strict, _store)

    def raise_it(connection: Connection) -> None:
        limit = connection.execute(text("SELECT coalesce(backlog_limit, 1) FROM tenants")).scalar_one()
        connection.execute(text("UPDATE tenants SET backlog_limit = :limit"), {"limit": limit + 1})

    # when they do so five times each, all at once
    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(write, strict, raise_it) for _ in range(40)]:
            future.result()
    # then nobody was told to come again, and none of it is lost
    limit = text("SELECT backlog_limit FROM tenants")
    assert read(strict, lambda connection: connection.execute(limit).scalar_one()) == 41


@pytest.mark.service
@pytest.mark.guard("database: conflicts and deadlocks are repeated")
def test_a_deadlock_is_repeated_until_both_are_through(postgresql_engine: Engine) -> None:
    # given two transactions that lock the same two rows in opposite orders
    names = ("one", "two")
    for name in names:
        insert = text("INSERT INTO tenants (name, created_at) VALUES (:name, now())")
        write(
            postgresql_engine, lambda connection, name=name, insert=insert: connection.execute(insert, {"name": name})
        )
    both = threading.Barrier(2, timeout=5)
    waited: set[int] = set()

    def lock(connection: Connection, order: Sequence[str]) -> None:
        for name in order:
            connection.execute(text("UPDATE tenants SET backlog_limit = 1 WHERE name = :name"), {"name": name})
            if threading.get_ident() not in waited:
                waited.add(threading.get_ident())
                both.wait()

    # when they meet, then PostgreSQL ends one of them, which is repeated
    with ThreadPoolExecutor(2) as threads:
        met = [threads.submit(write, postgresql_engine, lock, order) for order in (names, names[::-1])]
        for future in met:
            future.result()


@pytest.mark.service
def test_a_row_that_is_held_for_ever_is_told_and_not_waited_for(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a row that somebody keeps locked
    monkeypatch.setattr(session, "REPEAT_S", 1.5)
    engine = connect(postgresql_url, answer_s=2)
    write(engine, _store)
    with engine.begin() as other:
        other.execute(text("SELECT 1 FROM tenants FOR UPDATE"))
        # when another wants it, then it is told in time
        begun = time.monotonic()
        with pytest.raises(StorageUnavailable, match="lock timeout"):
            write(engine, lambda connection: connection.execute(text("UPDATE tenants SET backlog_limit = 1")))
        assert 1.5 < time.monotonic() - begun < 4
    engine.dispose()


@pytest.mark.service
@pytest.mark.parametrize("state", ["57014", "54000", "54001"])
def test_what_the_server_gives_up_on_is_told_apart_from_a_server_that_is_away(
    state: str, postgresql_engine: Engine
) -> None:
    # given a statement that takes too long, or breaks one of the server's limits
    raised = f"DO $$ BEGIN RAISE EXCEPTION 'too much' USING ERRCODE = '{state}'; END $$"
    # when it is sent, then it is told as such, and as what an outage is to all who do not care
    with pytest.raises(StatementGivenUp, match="too much") as told:
        write(postgresql_engine, lambda connection: connection.execute(text(raised)))
    assert isinstance(told.value, StorageUnavailable)


@pytest.mark.service
def test_a_server_that_lacks_memory_counts_as_one_that_is_away(postgresql_engine: Engine) -> None:
    raised = "DO $$ BEGIN RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200'; END $$"
    with pytest.raises(StorageUnavailable) as told:
        write(postgresql_engine, lambda connection: connection.execute(text(raised)))
    assert not isinstance(told.value, StatementGivenUp)
