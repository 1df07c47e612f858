"""A job's life through real processes, on every pairing of database and broker."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from domain.events import EventType
from domain.jobs import JobState
from storage.jobs import JobView, cancel, get, replay
from storage.session import read, write
from storage.tables import events
from tests.support.drill import QUICK, SLOW, STARVE
from tests.support.invariant import invariant
from tests.support.system import TENANT, System
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

SOON_S = 15.0


def look(one: System, job_id: UUID) -> JobView:
    return read(one.engine, get, TENANT, job_id)


def comes_to(one: System, job_id: UUID, state: JobState, within_s: float = SOON_S) -> JobView:
    eventually(lambda: look(one, job_id).state is state, within_s, f"it is {state}; {look(one, job_id)}")
    return look(one, job_id)


def told(one: System, job_id: UUID) -> list[str]:
    query = select(events.c.type).where(events.c.job_id == job_id).order_by(events.c.id)
    return read(one.engine, lambda connection: list(connection.execute(query).scalars()))


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_job_is_run_stored_and_told_of_in_order(one: System) -> None:
    one.start("dispatch")
    one.start("worker")

    (job,) = one.submit(QUICK)

    view = comes_to(one, job, JobState.SUCCEEDED)
    assert view.started_at is not None
    assert view.created_at <= view.started_at <= view.ended_at
    assert told(one, job) == [EventType.QUEUED, EventType.SUCCEEDED]
    invariant(one, [job])


def test_a_retryable_error_is_tried_again_until_its_attempts_are_used_up_and_can_be_replayed(one: System) -> None:
    one.start("dispatch")
    one.start("worker", SIGHTLINE_MAX_ATTEMPTS="3", SIGHTLINE_RETRY_DELAY_S="0.05")

    (job,) = one.submit(STARVE)

    view = comes_to(one, job, JobState.DEAD)
    assert (view.attempts, view.error.code) == (3, "device_out_of_memory")
    assert told(one, job) == [EventType.QUEUED, EventType.RETRIED, EventType.RETRIED, EventType.DEAD]

    write(one.engine, replay, TENANT, job)
    assert look(one, job).attempts == 0
    comes_to(one, job, JobState.DEAD)


def test_a_running_job_is_cancelled_at_its_next_checkpoint_and_a_waiting_one_at_once(one: System) -> None:
    one.start("dispatch")
    one.start("worker")
    (running,) = one.submit(SLOW, params={"model": "sleeper"})
    (held_back,) = one.submit(QUICK, not_before=soon(3600))
    comes_to(one, running, JobState.RUNNING)

    assert write(one.engine, cancel, TENANT, running).state is JobState.RUNNING, "asked for, not pretended"
    assert write(one.engine, cancel, TENANT, held_back).state is JobState.CANCELLED

    comes_to(one, running, JobState.CANCELLED)
    assert told(one, running) == [EventType.QUEUED, EventType.CANCELLED]
    invariant(one, [running, held_back])


def test_a_newer_job_takes_the_place_of_an_older_one_that_runs(one: System) -> None:
    one.start("dispatch")
    one.start("worker")
    (older,) = one.submit(SLOW, params={"model": "sleeper"}, supersede_key="camera-7")
    comes_to(one, older, JobState.RUNNING)

    (newer,) = one.submit(QUICK, supersede_key="camera-7")

    comes_to(one, newer, JobState.SUCCEEDED)
    comes_to(one, older, JobState.SUPERSEDED)
    invariant(one, [older, newer])


def test_a_deadline_ends_a_job_that_waits_and_marks_one_that_runs(one: System) -> None:
    one.start("dispatch")
    (waits,) = one.submit(QUICK, deadline=soon(1))
    comes_to(one, waits, JobState.EXPIRED)

    one.start("worker")
    (runs,) = one.submit(SLOW, params={"model": "sleeper"}, deadline=soon(3))

    assert comes_to(one, runs, JobState.SUCCEEDED).late
    invariant(one, [waits, runs])


def test_a_job_held_back_runs_when_its_time_has_come(one: System) -> None:
    one.start("dispatch")
    one.start("worker")

    (job,) = one.submit(QUICK, not_before=soon(1.5))

    view = comes_to(one, job, JobState.SUCCEEDED)
    assert view.started_at >= view.ready_at > view.created_at


def test_an_interactive_job_does_not_wait_behind_a_bulk_backlog(one: System) -> None:
    bulk = one.submit(SLOW, 60, lane="bulk")
    one.start("dispatch")
    one.start("worker", SIGHTLINE_JOB_THREADS="4")
    eventually(lambda: one.states().get("running", 0) > 0, SOON_S, "the backlog is under way")

    (urgent,) = one.submit(QUICK, lane="interactive")

    comes_to(one, urgent, JobState.SUCCEEDED)
    assert one.states()["succeeded"] < 40, "most of the backlog still waits"
    one.wait_for_the_end(60)
    invariant(one, [*bulk, urgent])


def test_nothing_is_rung_for_while_no_worker_serves_and_all_runs_once_one_does(one: System) -> None:
    one.start("dispatch")
    submitted = one.submit(QUICK, 30)

    one.start("worker")

    one.wait_for_the_end(SOON_S)
    invariant(one, submitted)
