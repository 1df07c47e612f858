"""Waits for PostgreSQL that must end although nobody says that the line is cut: all that is sent is acknowledged."""

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url

from domain.errors import StatementGivenUp, StorageUnavailable
from storage import bell
from storage.bell import Waiter, notify
from storage.postgresql import patiently
from storage.session import connect, read, write
from tests.support.proxy import Proxy, Way

pytestmark = pytest.mark.service

ANSWER_S = 1.0
SOON_S = ANSWER_S + 2.0


@pytest.fixture
def line(postgresql_url: str) -> Iterator[Proxy]:
    """The line to the server, whole at first."""
    proxy = Proxy(make_url(postgresql_url).port or 5432)
    yield proxy
    proxy.close()


@pytest.fixture
def far(postgresql_url: str, line: Proxy) -> Iterator[Engine]:
    """An engine at the other end of the line, with one open connection."""
    url = make_url(postgresql_url).set(port=line.port).render_as_string(hide_password=False)
    engine = connect(url, answer_s=ANSWER_S)
    assert read(engine, look) == 0
    yield engine
    engine.dispose()


def look(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM tenants")).scalar_one())


def store(connection: Connection) -> None:
    connection.execute(text("INSERT INTO tenants (name, created_at) VALUES ('acme', now())"))


def test_a_connection_from_the_pool_that_is_dead_is_given_up_and_the_next_works(far: Engine, line: Proxy) -> None:
    # given a firewall that forgot the connections there were
    line.strand()
    # when something is read, then the pool's own question is the first that nobody answers
    begun = time.monotonic()
    assert read(far, look) == 0
    assert ANSWER_S <= time.monotonic() - begun < SOON_S


def test_one_dead_connection_has_all_of_its_age_given_up(far: Engine, line: Proxy) -> None:
    # given a pool of several connections, all dead
    with far.connect() as one, far.connect() as other:
        assert look(one) == look(other) == 0
    line.strand()
    # when they are used one after the other, then the price is paid once
    begun = time.monotonic()
    for _ in range(3):
        with far.connect() as one, far.connect() as other:
            assert look(one) == look(other) == 0
    assert time.monotonic() - begun < SOON_S


@pytest.mark.guard("database: every answer has a limit")
@pytest.mark.timeout(20)
def test_a_statement_without_an_answer_is_told_as_storage_that_does_not_answer(far: Engine, line: Proxy) -> None:
    # given a line that falls silent in mid-transaction
    def cut(connection: Connection) -> None:
        line.cut()
        store(connection)

    # when a statement is sent, then its transaction ends
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable, match="no answer within 1 s"):
        write(far, cut)
    assert time.monotonic() - begun < SOON_S
    # and the same engine serves once the line is whole
    line.heal()
    assert read(far, look) == 0


@pytest.mark.guard("database: every answer has a limit")
@pytest.mark.timeout(20)
def test_a_commit_without_an_answer_is_told_and_may_have_been_done(far: Engine, line: Proxy) -> None:
    # given a line on which answers are lost from the commit on
    def cut(connection: Connection) -> None:
        store(connection)
        line.cut(Way.ANSWERING)

    # when the transaction is committed
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable, match="it may have been stored"):
        write(far, cut)
    assert time.monotonic() - begun < SOON_S
    # then it was, and whoever wrote was told that this may be
    line.heal()
    assert read(far, look) == 1


def test_a_rollback_without_an_answer_ends(far: Engine, line: Proxy) -> None:
    # given work that fails while the line is silent
    def cut(connection: Connection) -> None:
        store(connection)
        line.cut()
        raise LookupError

    # when it is rolled back, then this comes to an end
    begun = time.monotonic()
    with pytest.raises((LookupError, StorageUnavailable)):
        write(far, cut)
    assert time.monotonic() - begun < SOON_S
    line.heal()
    assert read(far, look) == 0


def test_connecting_over_a_silent_line_ends(far: Engine, line: Proxy) -> None:
    far.dispose()
    line.cut()
    begun = time.monotonic()
    with pytest.raises(StorageUnavailable):
        read(far, look)
    assert time.monotonic() - begun < 8  # two seconds are the least that libpq takes, five are what it is given


def test_a_migration_may_take_longer_than_an_answer(far: Engine) -> None:
    with far.begin() as connection, patiently(connection):
        connection.execute(text("SELECT pg_sleep(2)"))
    with pytest.raises(StatementGivenUp, match="statement timeout"):
        read(far, lambda connection: connection.execute(text("SELECT pg_sleep(2)")))


@pytest.mark.guard("database: the level of isolation is ours")
def test_a_stricter_default_of_the_database_does_not_become_ours(far: Engine) -> None:
    # given a database whose administrator set another level of isolation
    with far.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = far.url.database
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"))
    far.dispose()
    # then our transactions have the one that their statements are written for
    level = read(far, lambda connection: connection.execute(text("SHOW transaction_isolation")).scalar_one())
    assert level == "read committed"


def test_who_waits_for_a_change_outlasts_long_silence_and_is_still_woken(far: Engine) -> None:
    # given somebody who has waited for longer than an answer may take
    waiter = Waiter(far)
    waiter.wait(0)
    begun = time.monotonic()
    waiter.wait(2 * ANSWER_S)
    assert time.monotonic() - begun > 1.5 * ANSWER_S
    # when something changes, then it is woken at once
    later = threading.Timer(0.2, write, (far, notify))
    later.start()
    begun = time.monotonic()
    waiter.wait(5)
    assert time.monotonic() - begun < 2
    later.join()
    waiter.close()


@pytest.mark.guard("bell: a silent line is tried")
def test_who_waits_for_a_change_on_a_dead_line_notices_and_listens_anew(
    far: Engine, line: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a waiter whose connection a firewall forgot
    monkeypatch.setattr(bell, "SILENCE_S", 0.5)
    waiter = Waiter(far)
    waiter.wait(0)
    line.strand()
    # when it has waited a while
    begun = time.monotonic()
    while time.monotonic() - begun < ANSWER_S + 2:
        waiter.wait(0.3)
    # then it is woken again
    later = threading.Timer(0.2, write, (far, notify))
    later.start()
    begun = time.monotonic()
    waiter.wait(5)
    assert 0.1 < time.monotonic() - begun < 2
    later.join()
    waiter.close()
