"""Dispatchers that die, stand still, meet each other, or are not there. Moments are made certain with a row's lock."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from storage.session import read
from storage.tables import counter_deltas, counters, jobs
from tests.support.doorbells import Doorbells, listening
from tests.support.drill import QUICK, SLOW
from tests.support.invariant import invariant
from tests.support.servers import PrivateRedis
from tests.support.system import System, system
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

Recovery = Callable[[float], None]

IDLE_S = 5.0
"""After how long PostgreSQL ends a transaction that stands still (decision 8)."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@contextlib.contextmanager
def heard(url: str, redis: PrivateRedis, folder: Path, **settings: float) -> Iterator[tuple[System, Doorbells]]:
    """An installation whose doorbells are counted."""
    with listening(redis.port) as doorbells, system(url, redis.url, folder, **settings) as one:
        yield one, doorbells


@contextlib.contextmanager
def locked(one: System, statement: object) -> Iterator[None]:
    """Hold the rows that a statement finds, so that whoever wants to write them stands there."""
    with one.engine.begin() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        assert connection.execute(statement.with_for_update()).all()  # type: ignore[attr-defined]
        yield


def column(one: System, name: str) -> list[object]:
    return read(one.engine, lambda connection: list(connection.execute(select(jobs.c[name])).scalars()))


def test_a_dispatcher_killed_between_publish_and_mark_rings_again_and_the_job_runs_once(
    postgresql_url: str, redis: PrivateRedis, tmp_path: Path, recovery: Recovery
) -> None:
    with heard(postgresql_url, redis, tmp_path, lease_seconds=30.0, rering_seconds=60.0) as (one, doorbells):
        # given a worker that is registered and hears nothing for now, and a dispatcher that has published
        worker = one.start("worker")
        worker.send_signal(signal.SIGSTOP)
        (job,) = one.submit(QUICK)
        with locked(one, select(jobs.c.id).where(jobs.c.id == job)):
            dispatcher = one.start("dispatch")
            eventually(lambda: doorbells.rung[job] == 1, 10, "the doorbell is published")
            # when it dies before it can note so
            dispatcher.kill()
            dispatcher.wait(10)
        assert column(one, "rung_at") == [None]
        # then its successor rings again, and the job runs once
        one.start("dispatch")
        seconds = eventually(lambda: doorbells.rung[job] == 2, 10, "it is rung for again")
        worker.send_signal(signal.SIGCONT)
        seconds += one.wait_for_the_end(10)
        recovery(seconds)
        assert column(one, "token") == [1]
        invariant(one, [job])


def test_three_dispatchers_at_once_ring_once_for_each_job(
    postgresql_url: str, redis: PrivateRedis, tmp_path: Path
) -> None:
    with heard(postgresql_url, redis, tmp_path, lease_seconds=30.0, rering_seconds=60.0) as (one, doorbells):
        # given three dispatchers and two workers
        for role in ("dispatch", "dispatch", "dispatch", "worker", "worker"):
            one.start(role)
        # when jobs come in while others run
        submitted = one.submit(QUICK, 60) + one.submit(SLOW, 10) + one.submit(QUICK, 60)
        one.wait_for_the_end(40)
        # then each is rung for once and claimed once
        assert set(doorbells.rung) >= set(submitted)
        assert sum(doorbells.rung[job] for job in submitted) <= 1.02 * len(submitted)
        assert set(column(one, "token")) == {1}
        invariant(one, submitted)


def test_a_dispatcher_that_stands_still_with_a_queues_lock_is_relieved_by_another(
    postgresql_url: str, redis: PrivateRedis, tmp_path: Path, recovery: Recovery
) -> None:
    with heard(postgresql_url, redis, tmp_path, rering_seconds=60.0) as (one, doorbells):
        one.start("worker")
        (job,) = one.submit(QUICK)
        # given a dispatcher that stands still in mid-round: it holds the queue's lock, and the rows that it has marked
        with locked(one, select(jobs.c.id).where(jobs.c.id == job)):
            still = one.start("dispatch")
            eventually(lambda: doorbells.rung[job] == 1, 10, "the doorbell is published")
            still.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        one.start("dispatch")
        others = one.submit(QUICK, 10)
        time.sleep(1)
        assert all(doorbells.rung[other] == 0 for other in others), "the queue is held"
        # when the server has ended its transaction, then the other takes over
        one.wait_for_the_end(IDLE_S + 10)
        recovery(time.monotonic() - begun)
        # and it goes on as one of two when it wakes up
        still.send_signal(signal.SIGCONT)
        more = one.submit(QUICK, 10)
        one.wait_for_the_end(10)
        assert still.poll() is None
        assert set(column(one, "token")) == {1}
        invariant(one, [job, *others, *more])


def test_a_dispatcher_killed_while_it_folds_counts_nothing_twice_and_numbers_every_event(
    postgresql_url: str, redis: PrivateRedis, tmp_path: Path
) -> None:
    with heard(postgresql_url, redis, tmp_path) as (one, _):
        # given counters that have been folded once, and changes that have not
        first = one.start("dispatch")
        submitted = one.submit(QUICK, 5)
        eventually(lambda: not read(one.engine, lambda c: c.execute(select(counter_deltas)).all()), 5, "folded")
        with locked(one, select(counters)):
            submitted += one.submit(QUICK, 5)
            blocked = text(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE counters%'"
                " AND wait_event_type = 'Lock' AND datname = current_database()"
            )
            eventually(lambda: read(one.engine, lambda c: c.execute(blocked).scalar_one()) > 0, 5, "it folds")
            # when the dispatcher dies in mid-fold
            first.kill()
            first.wait(10)
        # then another does it all
        one.start("dispatch")
        one.start("worker")
        one.wait_for_the_end(10)
        assert one.states() == {"succeeded": 10}
        invariant(one, submitted)


def test_a_backlog_that_grew_while_no_dispatcher_was_there_is_worked_off(
    postgresql_url: str, redis: PrivateRedis, tmp_path: Path, recovery: Recovery
) -> None:
    with heard(postgresql_url, redis, tmp_path, rering_seconds=60.0) as (one, doorbells):
        # given jobs that came in under a dispatcher, and many more after it was killed
        one.start("worker")
        dispatcher = one.start("dispatch")
        submitted = one.submit(SLOW, 12)
        eventually(lambda: one.states().get("running", 0) > 0, 10, "a batch runs")
        dispatcher.kill()
        dispatcher.wait(10)
        submitted += one.submit(QUICK, 80)
        time.sleep(3)  # what was heard goes on; nobody rings for the rest
        assert one.states().get("queued", 0) >= 80
        # when there is one again
        one.start("dispatch")
        # then all are worked off, each by one claim
        recovery(one.wait_for_the_end(20))
        assert one.states() == {"succeeded": 92}
        assert set(column(one, "token")) == {1}
        assert sum(doorbells.rung[job] for job in submitted) <= 1.05 * len(submitted), "no storm"
        invariant(one, submitted)
