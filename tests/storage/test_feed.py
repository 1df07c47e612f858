"""The feed: a reader that goes by its numbers misses nothing, however slow a commit was."""

from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine

from domain.events import EventType
from storage.feed import after, hold_housekeeping, last, number
from storage.session import read, write
from storage.telling import told
from tests.support.life import TENANT, Life
from workers.reap import keep_house


def happen(engine: Engine, name: str, tenant: str = TENANT) -> None:
    write(engine, told, tenant, EventType.INTAKE_REJECTED, {"name": name})


def seen(engine: Engine, feed_id: int = 0, tenant: str = TENANT, **named: Any) -> list[tuple[int, str]]:
    return [(event.feed_id, event.body["name"]) for event in read(engine, after, tenant, feed_id, **named)]


def test_events_are_numbered_in_order_without_gaps(engine: Engine) -> None:
    # given five events
    for name in "abcde":
        happen(engine, name)
    # when they are numbered, in two goes
    assert seen(engine) == []
    assert write(engine, number) == 5
    happen(engine, "f")
    assert write(engine, number) == 1
    assert write(engine, number) == 0
    # then they stand in the feed in the order of their commits
    assert seen(engine) == list(enumerate("abcdef", start=1))
    assert read(engine, last, TENANT) == 6


def test_a_reader_resumes_after_any_number(engine: Engine) -> None:
    # given a feed of six
    for name in "abcdef":
        happen(engine, name)
    write(engine, number)
    # when a reader comes back after each number
    # then it gets the rest, in order, as much as it asks for
    for at in range(7):
        assert [name for _, name in seen(engine, at)] == list("abcdef"[at:])
    assert [name for _, name in seen(engine, 2, limit=2)] == ["c", "d"]


def test_a_tenant_reads_only_its_own(engine: Engine) -> None:
    # given events of two tenants
    happen(engine, "mine")
    happen(engine, "theirs", "other")
    write(engine, number)
    # when each reads
    # then it sees its own, at places in the one feed
    assert seen(engine) == [(1, "mine")]
    assert seen(engine, tenant="other") == [(2, "theirs")]
    assert read(engine, last, "nobody") == 0


def test_an_event_says_what_happened_to_which_job(life: Life) -> None:
    # given a submitted job
    job_id = life.submit(lane="bulk")
    write(life.engine, number)
    # when the feed is read
    [event] = read(life.engine, after, TENANT, 0)
    # then it says so
    assert (event.type, event.job_id) == ("job.queued", job_id)
    assert event.body == {"application": "inspection", "lane": "bulk", "state": "queued"}


@pytest.mark.service
def test_a_slow_commit_does_not_slip_behind_a_reader(postgresql_engine: Engine) -> None:
    # given a transaction that wrote its event first and commits last
    engine = postgresql_engine
    with engine.connect() as slow:
        told(slow, TENANT, EventType.INTAKE_REJECTED, {"name": "slow"})
        happen(engine, "quick")
        # when a reader has gone past the quick one
        keep_house(engine)
        [(place, name)] = seen(engine)
        assert name == "quick"
        slow.commit()
    keep_house(engine)
    # then the slow one stands behind that place, so that the reader meets it
    assert seen(engine, place) == [(place + 1, "slow")]


@pytest.mark.service
def test_only_one_process_numbers_at_a_time(postgresql_engine: Engine) -> None:
    # given a process that is numbering
    engine = postgresql_engine
    happen(engine, "a")
    holding, done = Event(), Event()

    def hold(connection: Connection) -> None:
        assert hold_housekeeping(connection)
        holding.set()
        done.wait(30)
        assert number(connection) == 1

    thread = Thread(target=write, args=(engine, hold))
    thread.start()
    assert holding.wait(30)
    # when another one looks
    # then it does nothing and does not wait
    assert keep_house(engine) == 0
    done.set()
    thread.join(30)
    assert seen(engine) == [(1, "a")]
    # and afterwards the lock is free
    happen(engine, "b")
    assert keep_house(engine) == 1


@pytest.mark.service
def test_many_writers_and_a_reader_that_follows_lose_nothing(postgresql_engine: Engine) -> None:
    # given four writers, a numberer that goes round, and a reader that follows the feed
    engine, writing = postgresql_engine, Event()
    names = [[f"{writer}-{at}-{uuid4()}" for at in range(25)] for writer in range(4)]
    writers = [Thread(target=lambda mine=mine: [happen(engine, name) for name in mine]) for mine in names]
    read_so_far: list[tuple[int, str]] = []

    def follow() -> None:
        while True:
            over = writing.is_set()
            keep_house(engine)
            read_so_far.extend(seen(engine, read_so_far[-1][0] if read_so_far else 0))
            if over:
                return

    reader = Thread(target=follow)
    # when they all run
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join(60)
    writing.set()
    reader.join(60)
    # then the reader has met every event, once, at rising places
    places = [place for place, _ in read_so_far]
    assert places == list(range(1, 101))
    assert sorted(name for _, name in read_so_far) == sorted(name for mine in names for name in mine)
