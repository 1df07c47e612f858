"""Ending what can no longer run."""

from datetime import UTC, datetime, timedelta

import pytest

from storage import reaping
from storage.reaping import end_superseded, expire
from storage.session import write
from tests.support.life import Life
from workers import reap
from workers.reap import end_what_cannot_run

PAST = datetime.now(UTC) - timedelta(seconds=1)
TO_COME = datetime.now(UTC) + timedelta(hours=1)


def test_only_waiting_jobs_past_their_deadline_expire(life: Life) -> None:
    # given jobs past their deadline that wait, were rung for, or run; and some that have time or no deadline
    waiting, rung, running = life.submit(), life.submit(), life.running(life.worker())
    for job_id in (waiting, rung, running.id):
        life.set(job_id, deadline=PAST)
    life.set(rung, rung_at=PAST)
    kept = [life.submit(deadline=TO_COME), life.submit()]
    # when the reaper looks
    assert write(life.engine, expire) == 2
    # then those that wait have expired and said so; the running one finishes
    assert [life.state(job_id) for job_id in (waiting, rung)] == ["expired", "expired"]
    assert life.told(waiting) == ["job.queued", "job.expired"]
    assert life.row(waiting).ended_at is not None
    assert life.state(running.id) == "running"
    assert {life.state(job_id) for job_id in kept} == {"queued"}
    assert write(life.engine, expire) == 0


def test_a_heap_of_late_jobs_ends_in_one_turn_and_a_turn_has_an_end(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given more jobs past their deadline than are ended at once
    monkeypatch.setattr(reaping, "AT_ONCE", 2)
    for _ in range(9):
        life.set(life.submit(), deadline=PAST)
    # when the reaper has no time, then it ends some of them
    monkeypatch.setattr(reap, "TURN_S", 0.0)
    assert end_what_cannot_run(life.engine) == 2
    # and when it has, all of them
    monkeypatch.setattr(reap, "TURN_S", 60.0)
    assert end_what_cannot_run(life.engine) == 7
    assert set(life.states().values()) == {"expired"}


def test_a_job_given_back_after_its_successor_came_ends_superseded(life: Life) -> None:
    # given a running job, a newer one of its key, and a worker that dies
    worker = life.worker()
    job = life.running(worker, supersede_key="part-1")
    newer, other = life.submit(supersede_key="part-1"), life.submit(supersede_key="part-2")
    life.end(worker)
    assert life.state(job.id) == "queued"
    # when the reaper looks
    assert write(life.engine, end_superseded) == 1
    # then it has ended, and the newest of each key waits
    assert life.state(job.id) == "superseded"
    assert life.told(job.id)[-1] == "job.superseded"
    assert {life.state(job_id) for job_id in (newer, other)} == {"queued"}


def test_the_same_key_of_another_tenant_supersedes_nothing(life: Life) -> None:
    # given two tenants with the same key
    mine = life.submit(supersede_key="part-1")
    life.submit("other", supersede_key="part-1")
    # when the reaper looks
    # then both wait
    assert end_what_cannot_run(life.engine) == 0
    assert life.state(mine) == "queued"


def test_a_job_that_is_late_and_superseded_ends_once(life: Life) -> None:
    # given a job that is both
    worker = life.worker()
    job = life.running(worker, supersede_key="part-1")
    life.submit(supersede_key="part-1")
    life.end(worker)
    life.set(job.id, deadline=PAST)
    # when the reaper looks
    # then it has one end and one event of it
    assert end_what_cannot_run(life.engine) == 1
    assert life.told(job.id) == ["job.queued", "job.returned", "job.expired"]
