"""Workers that die, leave, stall and hang. Leases are 3 s; the models are drills without torch."""

import signal
import time
from collections.abc import Callable

import pytest
from sqlalchemy import select

from storage.session import read
from storage.tables import jobs
from tests.support.drill import ABORT, HANG, QUICK, SLOW
from tests.support.invariant import invariant
from tests.support.pairings import EMBEDDED, RABBITMQ, REDIS, on
from tests.support.system import System
from tests.support.waiting import eventually
from workers.watchdog import EXIT_HUNG

pytestmark = [pytest.mark.service, pytest.mark.fault]

Recovery = Callable[[float], None]

LEASE_S = 3.0
GRACE_S = 10.0


def running(one: System) -> int:
    return one.states().get("running", 0)


def live_until_it_dies_or_all_is_done(one: System) -> None:
    worker = one.start("worker")
    over = {"queued", "running"}.isdisjoint
    eventually(lambda: worker.poll() is not None or over(one.states()), 30, "it dies or all is done")


def column(one: System, name: str) -> list[object]:
    return read(one.engine, lambda connection: list(connection.execute(select(jobs.c[name])).scalars()))


def test_a_worker_killed_in_mid_batch_loses_nothing_and_doubles_nothing(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    worker = one.start("worker")
    submitted = one.submit(SLOW, 30)
    eventually(lambda: running(one) > 0, 10, "a batch runs")

    worker.kill()
    worker.wait()
    one.start("worker")

    # Each job that was in the device call is a suspect now and runs alone, half a second each.
    recovery(one.wait_for_the_end(LEASE_S + GRACE_S + 30 * 0.5))
    assert one.states() == {"succeeded": 30}
    assert set(column(one, "attempts")) == {0}, "a lost worker uses up no attempt"
    invariant(one, submitted)


@on(EMBEDDED, RABBITMQ)
@pytest.mark.guard("reaper: lapsed leases are ended")
def test_another_machines_worker_takes_over_when_the_lease_lapses(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    worker = one.start("worker")
    submitted = one.submit(SLOW, 10)
    eventually(lambda: running(one) > 0, 10, "a batch runs")

    # Another data folder is another machine: no notes are found there, only the lease tells.
    one.start("worker", machine="elsewhere")
    worker.kill()
    worker.wait()

    recovery(one.wait_for_the_end(LEASE_S + GRACE_S))
    assert one.states() == {"succeeded": 10}
    invariant(one, submitted)


def test_a_worker_told_to_leave_finishes_what_runs_and_hands_back_the_rest(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    leaving = one.start("worker")
    submitted = one.submit(SLOW, 40)
    eventually(lambda: running(one) > 0, 10, "a batch runs")

    leaving.send_signal(signal.SIGTERM)
    one.start("worker")

    assert leaving.wait(15) == 0
    recovery(one.wait_for_the_end(GRACE_S + 40 * 0.5 / 8 * 2))
    assert one.states() == {"succeeded": 40}
    assert set(column(one, "attempts")) == set(column(one, "losses")) == {0}, "a drain costs a job nothing"
    invariant(one, submitted)


@on(EMBEDDED, RABBITMQ)
def test_a_worker_told_to_leave_hands_back_at_once_what_it_has_not_begun(one: System) -> None:
    # given a worker with one thread, which a job holds for long, and a second job that it has heard
    one.start("dispatch", SIGHTLINE_RERING_SECONDS="60")
    leaving = one.start("worker", SIGHTLINE_JOB_THREADS="1", SIGHTLINE_DRAIN_SECONDS="30")
    one.submit(HANG)
    eventually(lambda: running(one) == 1, 10, "it holds the thread")
    (second,) = one.submit(QUICK)
    # Of the first nothing may tell that it was rung for: a claim can be faster than the dispatcher's note.
    rung = select(jobs.c.rung_at).where(jobs.c.id == second)
    eventually(lambda: read(one.engine, lambda c: c.execute(rung).scalar()) is not None, 10, "the second was rung for")
    time.sleep(1)  # and heard: nothing outside tells of it

    # when it is told to leave, and another comes
    leaving.send_signal(signal.SIGTERM)
    one.start("worker")

    # then the second job does not wait until the first has ended
    eventually(lambda: one.states().get("succeeded", 0) == 1, 15, f"it ran elsewhere\n{one.logs()}")
    assert leaving.poll() is None, "the first is still being waited for"


@on(EMBEDDED, REDIS)
def test_a_worker_that_stood_still_past_its_lease_commits_nothing(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    stalled = one.start("worker")
    submitted = one.submit(SLOW, 8, params={"model": "sleeper"})
    # All threads are taken, so that it is not stopped while it claims: on SQLite it would hold the file's only write
    # lock for as long as it stands still. On PostgreSQL the server ends such a transaction: that case is in
    # tests/storage/test_leases.py.
    eventually(lambda: running(one) == 8, 10, "its threads are taken")

    stalled.send_signal(signal.SIGSTOP)
    one.start("worker", machine="elsewhere")
    taken_over = one.wait_for_the_end(LEASE_S + GRACE_S + 2 * 4.0)
    recovery(taken_over)
    time.sleep(max(2 * LEASE_S - taken_over, 0))  # the fault itself: still for twice the lease
    stalled.send_signal(signal.SIGCONT)
    eventually(lambda: "lease.lapsed" in one.logs(), LEASE_S + GRACE_S, "the stalled worker sees that it was fenced")

    after = one.submit(QUICK, 4)
    one.wait_for_the_end(GRACE_S)
    assert one.states() == {"succeeded": 12}
    invariant(one, submitted + after)


@on(REDIS)
def test_a_device_call_that_hangs_ends_the_process_and_only_its_own_job_is_suspected(
    one: System, recovery: Recovery
) -> None:
    one.start("dispatch")
    poison = one.submit(HANG)
    exits = []

    for _ in range(4):  # once in company, then three strikes alone
        worker = one.start("worker", SIGHTLINE_CALL_LIMIT_S="1.5")
        exits.append(worker.wait(20))
    good = one.submit(QUICK, 10)
    one.start("worker", SIGHTLINE_CALL_LIMIT_S="1.5")

    recovery(one.wait_for_the_end(GRACE_S))
    assert exits == [EXIT_HUNG] * 4
    assert one.states() == {"dead": 1, "succeeded": 10}
    assert sorted(column(one, "strikes")) == [0] * 10 + [3]
    invariant(one, poison + good)


@on(RABBITMQ)
def test_a_picture_that_kills_the_process_ends_dead_and_its_neighbours_succeed_unstruck(
    one: System, recovery: Recovery
) -> None:
    one.start("dispatch")
    submitted = one.submit(QUICK, 6) + one.submit(ABORT) + one.submit(QUICK, 6)
    going = {"queued", "running"}
    begun = time.monotonic()

    while going & set(one.states()) and time.monotonic() - begun < 60:
        live_until_it_dies_or_all_is_done(one)
    recovery(time.monotonic() - begun)

    assert one.states() == {"dead": 1, "succeeded": 12}
    assert sorted(column(one, "strikes")) == [0] * 12 + [3]
    invariant(one, submitted)
