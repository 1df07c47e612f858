"""Deadlines that pass: in the queue, between the doorbell and the claim, and in mid-run."""

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, select

from storage.jobs import replay
from storage.session import read, write
from storage.tables import jobs
from tests.support.drill import GATED, QUICK
from tests.support.gates import Gates
from tests.support.invariant import invariant
from tests.support.pairings import EMBEDDED, RABBITMQ, on
from tests.support.system import TENANT, System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

REAPED_S = 10.0


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def row(one: System, job_id: UUID) -> Row[Any]:
    return read(one.engine, lambda connection: connection.execute(select(jobs).where(jobs.c.id == job_id)).one())


def comes_to(one: System, job_id: UUID, state: str, within_s: float = REAPED_S) -> float:
    return eventually(lambda: row(one, job_id).state == state, within_s, f"{job_id} is {state}\n{one.logs()}")


def rung(one: System, job_id: UUID) -> None:
    eventually(lambda: row(one, job_id).rung_at is not None, 15, "it is rung for")


def test_a_deadline_that_passes_in_mid_run_lets_the_job_end_and_one_that_passes_behind_it_ends_a_job_that_was_heard(
    one: System, tmp_path: Path, recovery
) -> None:
    # given a worker with one thread, whose job is in its model call, and a second job that it has heard
    gates = Gates(tmp_path)
    gates.hold("run")
    one.start("dispatch")
    one.start("worker", SIGHTLINE_JOB_THREADS="1", SIGHTLINE_DRILL_GATES=str(tmp_path))
    due = soon(6)
    (runs,) = one.submit(GATED, deadline=due)
    gates.reached("run")
    (waits,) = one.submit(QUICK, deadline=due)
    rung(one, waits)
    # when the deadline of both passes
    time.sleep(max((datetime.fromisoformat(due) - datetime.now(UTC)).total_seconds(), 0))
    # then the one that waits ends at once, without a run, and the one that runs is let to its end
    recovery(comes_to(one, waits, "expired"))
    assert (row(one, runs).state, row(one, waits).token) == ("running", 0)
    gates.open("run")
    comes_to(one, runs, "succeeded")
    assert row(one, runs).late
    assert not row(one, waits).late
    invariant(one, [runs, waits])


@on(EMBEDDED, RABBITMQ)
def test_a_job_whose_deadline_passed_while_no_dispatcher_was_there_is_not_run_late_by_a_worker(
    one: System, recovery
) -> None:
    # given two jobs: one that waits for a dispatcher, and one whose doorbell waits for a worker that stands still
    dispatcher = one.start("dispatch")
    worker = one.start("worker", SIGHTLINE_LEASE_SECONDS="60")
    worker.send_signal(signal.SIGSTOP)
    due = soon(6)
    (published,) = one.submit(QUICK, deadline=due)
    rung(one, published)
    dispatcher.kill()
    dispatcher.wait(10)
    (unrung,) = one.submit(QUICK, deadline=due)
    # when their deadline passes, and the worker hears the doorbell afterwards
    time.sleep(max((datetime.fromisoformat(due) - datetime.now(UTC)).total_seconds(), 0) + 0.1)
    worker.send_signal(signal.SIGCONT)
    time.sleep(1.5)
    # then it leaves the job alone
    assert {row(one, job).state for job in (published, unrung)} == {"queued"}
    # and the dispatcher that comes back ends both
    begun = time.monotonic()
    one.start("dispatch")
    for job in (published, unrung):
        comes_to(one, job, "expired")
        assert row(one, job).token == 0, "it never ran"
    recovery(time.monotonic() - begun)
    invariant(one, [published, unrung])


@on(EMBEDDED)
def test_a_deadline_ends_a_job_that_no_worker_serves_and_a_replay_gives_it_time_again(one: System) -> None:
    one.start("dispatch")
    (job,) = one.submit(QUICK, deadline=soon(0.5))
    comes_to(one, job, "expired")

    write(one.engine, replay, TENANT, job)
    one.start("worker")

    comes_to(one, job, "succeeded", 15)
    assert not row(one, job).late
    invariant(one, [job])
