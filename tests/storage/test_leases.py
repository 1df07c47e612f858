"""Leases: renewing, lapsing, ending once, and what becomes of the jobs of a worker that is gone."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine

from domain.jobs import LOSSES_TO_SUSPICION, STRIKES_TO_DEATH
from storage import leases
from storage.claims import claim
from storage.leases import Ending
from storage.postgresql import IDLE_MS
from storage.session import read, write
from storage.tables import events
from tests.support.life import Life
from workers.reap import reap


def test_a_lease_is_renewed_while_it_holds(life: Life) -> None:
    # given a worker
    worker = life.worker(lease_s=30)
    # when it renews
    # then it holds, and nobody thinks that it lapsed
    assert write(life.engine, leases.renew, worker, 60)
    assert read(life.engine, leases.lapsed) == []


@pytest.mark.guard("lease: a lapsed one is not renewed")
def test_a_lapsed_lease_cannot_be_renewed(life: Life) -> None:
    # given a worker whose lease ran out
    worker = life.worker()
    life.lapse(worker)
    # when it renews
    # then it is told to stop committing; and the reaper sees it
    assert not write(life.engine, leases.renew, worker, 60)
    assert read(life.engine, leases.lapsed) == [worker]


def test_an_ended_worker_cannot_renew(life: Life) -> None:
    # given a worker that was ended while its lease held
    worker = life.worker()
    life.end(worker)
    # when it renews
    # then it is told so, and it does not count as lapsed
    assert not write(life.engine, leases.renew, worker, 60)
    assert read(life.engine, leases.lapsed) == []


def test_a_worker_is_ended_once_however_many_notice(life: Life) -> None:
    # given a worker with three jobs, and eight that notice its death at once
    worker = life.worker()
    ids = [life.running(worker).id for _ in range(3)]
    together = Barrier(8)

    def notice(_: int) -> int:
        together.wait(30)
        return life.end(worker)

    # when they all end it
    with ThreadPoolExecutor(8) as pool:
        given_back = sorted(pool.map(notice, range(8)))
    # then its jobs are given back once
    assert given_back == [0] * 7 + [3]
    assert life.count(events) == (6,)
    assert [life.row(job_id).losses for job_id in ids] == [1, 1, 1]


def test_a_job_given_back_uses_up_no_attempt_and_wants_a_doorbell(life: Life) -> None:
    # given a running job of a worker that dies
    worker = life.worker()
    job = life.running(worker)
    life.set(job.id, rung_at=datetime.now(UTC))
    # when the worker is ended
    life.end(worker)
    # then the job is queued as if new, and one loss is remembered
    row = life.row(job.id)
    assert (row.state, row.worker, row.rung_at, row.attempts, row.losses) == ("queued", None, None, 0, 1)
    assert not row.suspect
    assert life.told(job.id) == ["job.queued", "job.returned"]


def test_a_drained_job_is_no_loss(life: Life) -> None:
    # given a running job of a worker that leaves in order
    worker = life.worker()
    job = life.running(worker)
    # when the worker ends itself
    life.end(worker, lost=False)
    # then nothing is held against the job
    row = life.row(job.id)
    assert (row.state, row.losses, row.suspect) == ("queued", 0, False)


def test_only_the_lapsed_are_reaped(life: Life) -> None:
    # given two workers with a job each, of which one lapsed
    alive, gone = life.worker(), life.worker()
    kept, lost = life.running(alive), life.running(gone)
    life.lapse(gone)
    # when the reaper looks
    # then the lapsed one's job is given back, and the other runs on
    assert reap(life.engine) == 1
    assert (life.state(kept.id), life.state(lost.id)) == ("running", "queued")
    assert reap(life.engine) == 0


@pytest.mark.guard("reaper: only what has lapsed")
def test_a_worker_that_renews_just_before_the_reaper_strikes_is_left_alone(life: Life) -> None:
    # given a worker that looked lapsed a moment ago, and is not now
    worker = life.worker()
    job = life.running(worker)
    # when the reaper comes with what it saw
    ended = write(life.engine, leases.end, worker, Ending("its lease lapsed"), only_lapsed=True)
    # then it goes away again
    assert ended == 0
    assert life.state(job.id) == "running"


def test_a_job_lost_often_without_a_note_becomes_suspect(life: Life) -> None:
    # given a job
    job_id = life.submit()
    # when its workers die, without a note, as often as it takes
    seen = []
    for _ in range(LOSSES_TO_SUSPICION):
        worker = life.worker()
        life.claim(worker, job_id)
        life.end(worker)
        seen.append(life.row(job_id).suspect)
    # then it is suspect from then on, and not before
    assert seen == [False] * (LOSSES_TO_SUSPICION - 1) + [True]
    assert life.row(job_id).strikes == 0


@pytest.mark.guard("suspect: the dead worker's notes")
def test_a_noted_job_becomes_suspect_at_once_and_its_neighbours_do_not(life: Life) -> None:
    # given a worker that died while it was busy with one of its two jobs
    worker = life.worker()
    noted, neighbour = life.running(worker), life.running(worker)
    # when it is ended with its note
    life.end(worker, noted=[noted.id])
    # then that job is suspect, without a strike; the other only has a loss
    row = life.row(noted.id)
    assert (row.suspect, row.strikes, row.losses) == (True, 0, 0)
    row = life.row(neighbour.id)
    assert (row.suspect, row.strikes, row.losses) == (False, 0, 1)


@pytest.mark.guard("suspect: three strikes")
def test_a_suspect_that_takes_its_process_with_it_too_often_is_dead(life: Life) -> None:
    # given a suspect
    job_id = life.submit()
    life.set(job_id, suspect=True)
    # when its worker dies over it again and again
    seen = []
    for _ in range(STRIKES_TO_DEATH):
        worker = life.worker()
        life.claim(worker, job_id, suspects=True)
        life.end(worker, noted=[job_id])
        seen.append(life.state(job_id))
    # then the last strike is its end, with the reason
    assert seen == ["queued"] * (STRIKES_TO_DEATH - 1) + ["dead"]
    row = life.row(job_id)
    assert (row.error_code, row.strikes, row.attempts) == ("struck_out", STRIKES_TO_DEATH, 0)
    assert "3 times" in row.error_message
    assert row.ended_at is not None
    assert life.told(job_id)[-1] == "job.dead"


def test_a_suspect_that_is_lost_has_a_strike_even_where_the_reaper_found_no_note(life: Life) -> None:
    # given a suspect, which runs alone
    job_id = life.submit()
    life.set(job_id, suspect=True)
    worker = life.worker()
    life.claim(worker, job_id, suspects=True)
    # when its worker is ended by the reaper, who has no note to read
    life.end(worker)
    # then there is nobody else to blame
    assert (life.row(job_id).strikes, life.state(job_id)) == (1, "queued")


def test_a_note_that_is_read_after_the_reaper_came_still_raises_the_suspicion(life: Life) -> None:
    # given a worker that died over a job, and whose lease the reaper has ended already
    worker = life.worker()
    job = life.running(worker)
    life.end(worker)
    assert not life.row(job.id).suspect
    # when its successor reads the note
    assert life.end(worker, noted=[job.id]) == 0
    # then the job is given back once, and suspect
    assert life.row(job.id).suspect
    assert life.told(job.id) == ["job.queued", "job.returned"]


def test_a_job_asked_to_stop_ends_cancelled_when_its_worker_dies(life: Life) -> None:
    # given a running job whose cancel was asked for
    worker = life.worker()
    job = life.running(worker)
    life.set(job.id, cancel_requested=True)
    # when its worker dies
    life.end(worker)
    # then it does not come back
    row = life.row(job.id)
    assert row.state == "cancelled"
    assert row.ended_at is not None
    assert life.told(job.id) == ["job.queued", "job.cancelled"]


def test_heard_jobs_that_are_handed_back_want_a_doorbell_at_once(life: Life) -> None:
    # given a rung job that nobody claimed, and a running one
    heard, running = life.submit(), life.running(life.worker())
    for job_id in (heard, running.id):
        life.set(job_id, rung_at=datetime.now(UTC))
    # when the worker hands back what it had heard
    write(life.engine, leases.hand_back, [heard, running.id])
    # then only the waiting one is rung for again
    assert life.row(heard).rung_at is None
    assert life.row(running.id).rung_at is not None
    write(life.engine, leases.hand_back, [])


@pytest.mark.guard("lease: what was never answered is disowned")
def test_a_claim_that_was_never_answered_is_disowned(life: Life) -> None:
    # given a worker with three jobs: one that it knows of, one it does not, and one claimed a moment ago
    worker, other = life.worker(), life.worker()
    known, unknown, fresh, elsewhere = (life.running(w) for w in (worker, worker, worker, other))
    for job in (known, unknown, elsewhere):
        life.set(job.id, started_at=datetime.now(UTC) - timedelta(minutes=5))
    # when it compares
    assert write(life.engine, leases.disown, worker, [known.id], 60.0) == 1
    # then only the one it cannot know of is given back, at no cost
    assert [life.state(job.id) for job in (known, unknown, fresh, elsewhere)] == [
        "running",
        "queued",
        "running",
        "running",
    ]
    row = life.row(unknown.id)
    assert (row.losses, row.attempts) == (0, 0)
    # and holding nothing at all is no error
    assert write(life.engine, leases.disown, other, [], 60.0) == 1


@pytest.mark.service
def test_a_worker_that_stands_still_in_mid_transaction_does_not_hold_up_the_reaper(postgresql_engine: Engine) -> None:
    # given a worker whose lease lapsed while it stood still, with the locks of a claim that it never finished
    life = Life(postgresql_engine)
    worker = life.worker()
    running, waits = life.running(worker), life.submit()
    still = postgresql_engine.connect()
    claim(still, worker, [waits])
    life.lapse(worker)
    # when the reaper comes
    begun = time.monotonic()
    given_back = life.end(worker)
    # then the server has ended that transaction, and both jobs can run again
    assert time.monotonic() - begun < 2 * IDLE_MS / 1000
    assert given_back == 1
    assert [life.state(job) for job in (running.id, waits)] == ["queued", "queued"]
    still.invalidate()
    still.close()
