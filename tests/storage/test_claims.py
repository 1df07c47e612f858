"""Claims and commits: who may run a job, and whose outcome counts."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, select, text

from domain.jobs import JobState
from storage import leases
from storage.claims import Outcome, claim, hearable
from storage.jobs import cancel
from storage.session import read, write
from storage.tables import counter_deltas, events, findings, jobs, model_calls, results
from tests.support.life import TENANT, Life, failed, succeeded

WRITTEN = (results, findings, model_calls, events, counter_deltas)


def test_a_claim_takes_the_job_and_raises_its_token(life: Life) -> None:
    # given a waiting job and a worker
    job_id, worker = life.submit(params={"part": "p-1"}), life.worker()
    # when the worker claims it
    [job] = life.claim(worker, job_id)
    # then it holds it under the token 1, with all that running it needs
    assert (job.id, job.token, job.tenant, job.lane, job.images) == (job_id, 1, TENANT, "standard", ("ab" * 32,))
    assert job.params == {"part": "p-1"}
    row = life.row(job_id)
    assert (row.state, row.worker, row.token) == ("running", worker, 1)
    # and each time that it is given back and claimed again the token rises by one
    for token in (2, 3):
        life.end(worker, lost=False)
        worker = life.worker()
        assert [job.token for job in life.claim(worker, job_id)] == [token]


def test_a_claim_tells_the_seconds_to_the_deadline(life: Life) -> None:
    # given a job that must be done within a minute
    job = life.running(life.worker(), deadline=datetime.now(UTC) + timedelta(minutes=1))
    # when it was claimed
    # then the duration was told, so that a worker's wrong clock does no harm
    assert job.deadline_in_s == pytest.approx(60, abs=5)


@pytest.mark.guard("claim: only under a lease that holds")
def test_a_worker_whose_lease_lapsed_or_ended_takes_nothing(life: Life) -> None:
    # given a waiting job, and workers of which one lapsed, one ended and one never was
    job_id, lapsed, ended = life.submit(), life.worker(), life.worker()
    life.lapse(lapsed)
    life.end(ended)
    # when they claim
    # then they get nothing
    for worker in (lapsed, ended, uuid4()):
        assert life.claim(worker, job_id) == []
    assert life.state(job_id) == "queued"


def test_what_may_not_run_is_not_claimed(life: Life) -> None:
    # given jobs that are running, cancelled, past their deadline, not ready, or unknown
    worker = life.worker()
    now = datetime.now(UTC)
    running = life.running(worker).id
    late = life.submit()
    life.set(late, deadline=now - timedelta(seconds=1))
    early = life.submit(not_before=now + timedelta(hours=1))
    cancelled = life.submit()
    life.set(cancelled, state="cancelled")
    # when they are claimed
    # then none is
    assert life.claim(worker, running, late, early, cancelled, uuid4()) == []


def test_suspects_are_claimed_apart(life: Life) -> None:
    # given an ordinary job and a suspect
    worker, plain, suspect = life.worker(), life.submit(), life.submit()
    life.set(suspect, suspect=True)
    # when either kind is asked for
    # then only that kind is taken
    assert [job.id for job in life.claim(worker, plain, suspect)] == [plain]
    [job] = life.claim(worker, plain, suspect, suspects=True)
    assert (job.id, job.suspect) == (suspect, True)


@pytest.mark.guard("claim: never what a newer job superseded")
def test_a_superseded_job_is_not_claimed(life: Life) -> None:
    # given a job whose run was given back after a newer one of its key came
    worker = life.worker()
    job = life.running(worker, supersede_key="part-1")
    newer = life.submit(supersede_key="part-1")
    life.end(worker)
    # when both are claimed
    claimed = life.claim(life.worker(), job.id, newer)
    # then only the newer one runs
    assert [one.id for one in claimed] == [newer]


@pytest.mark.guard("claim: only what waits")
def test_of_claimers_of_the_same_ids_each_id_goes_to_one(life: Life) -> None:
    # given forty waiting jobs and eight workers that heard of all of them
    ids = [life.submit() for _ in range(40)]
    workers, together = [life.worker() for _ in range(8)], threading.Barrier(8)

    def take(at: int) -> list[tuple[str, int]]:
        together.wait(30)
        order = ids if at % 2 else ids[::-1]
        return [(str(job.id), job.token) for job in life.claim(workers[at], *order)]

    # when they claim at once
    with ThreadPoolExecutor(8) as pool:
        taken = [one for part in pool.map(take, range(8)) for one in part]
    # then each job was taken once (what was passed over is still queued)
    assert len(taken) == len(set(taken))
    assert all(token == 1 for _, token in taken)
    rest = [job.id for job in life.claim(workers[0], *ids)]
    assert {job_id for job_id, _ in taken} | {str(job_id) for job_id in rest} == {str(job_id) for job_id in ids}
    assert len(taken) + len(rest) == 40


@pytest.mark.service
def test_a_worker_that_is_ended_while_it_claims_leaves_no_job_behind(postgresql_engine: Engine) -> None:
    # given a claim that has run but is not committed
    engine, life = postgresql_engine, Life(postgresql_engine)
    job_id, worker = life.submit(), life.worker()
    ending = threading.Thread(target=life.end, args=(worker,))
    with engine.connect() as connection:
        assert len(claim(connection, worker, [job_id])) == 1
        # when the worker is ended meanwhile, and the claim then commits
        ending.start()
        _until_blocked_or_ended(engine, ending)
        connection.commit()
    ending.join(10)
    # then the job is queued again: no ended worker holds it
    assert life.state(job_id) == "queued"


@pytest.mark.service
def test_a_claim_that_waits_for_a_job_does_not_keep_its_worker_from_renewing(postgresql_engine: Engine) -> None:
    # given a job that somebody else has locked, and a worker that waits for it
    engine, life = postgresql_engine, Life(postgresql_engine)
    job_id, worker = life.submit(), life.worker()
    claiming = threading.Thread(target=life.claim, args=(worker, job_id))
    with engine.connect() as connection:
        connection.execute(select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
        claiming.start()
        _until_blocked_or_ended(engine, claiming)
        # when it renews its lease, then it need not wait
        renewed = write(engine, leases.renew, worker, 60.0)
        assert claiming.is_alive()
    claiming.join(10)
    assert renewed
    assert life.row(job_id).token == 1


def _until_blocked_or_ended(engine: Engine, thread: threading.Thread) -> None:
    """Wait until a thread's statement waits for a lock, or the thread is done."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with engine.connect() as connection:
        for _ in range(400):
            if not thread.is_alive() or connection.execute(text(waits)).scalar_one():
                return
            connection.commit()
            thread.join(0.01)
    raise AssertionError("neither blocked nor ended")


def test_a_commit_stores_the_result_and_all_that_belongs_to_it(life: Life) -> None:
    # given two running jobs
    worker = life.worker()
    first, second = life.running(worker), life.running(worker)
    # when they are committed together
    held = life.commit(worker, succeeded(first, findings=2), succeeded(second, findings=0))
    # then each has its end, its result under its token, its findings, its call and its event
    assert held == {first.id, second.id}
    assert life.count(results, findings, model_calls) == (2, 2, 2)
    row = life.row(first.id)
    assert (row.state, row.late) == ("succeeded", False)
    assert row.ended_at >= row.started_at
    kept = read(life.engine, lambda connection: connection.execute(select(results)).all())
    assert {(one.job_id, one.token) for one in kept} == {(first.id, 1), (second.id, 1)}
    assert life.told(first.id) == ["job.queued", "job.succeeded"]


@pytest.mark.guard("fence: token at commit")
def test_a_commit_under_an_old_token_touches_nothing(life: Life) -> None:
    # given a job that was taken away from its worker and runs again, by the same one
    worker = life.worker()
    old = life.running(worker)
    life.set(old.id, state="queued", worker=None)
    [new] = life.claim(worker, old.id)
    before = life.row(old.id), life.count(*WRITTEN)
    # when the first run commits, whatever became of it
    held = life.commit(worker, succeeded(old)) | life.commit(worker, failed(old))
    held |= life.commit(worker, failed(old, JobState.QUEUED)) | life.commit(worker, Outcome(old, JobState.CANCELLED))
    # then nothing is written
    assert held == set()
    assert (life.row(old.id), life.count(*WRITTEN)) == before
    # and the second run's commit counts
    assert life.commit(worker, succeeded(new)) == {new.id}


@pytest.mark.guard("fence: state and worker at commit")
def test_a_commit_of_a_job_that_was_given_back_touches_nothing(life: Life) -> None:
    # given a job whose worker was ended
    worker = life.worker()
    job = life.running(worker)
    life.end(worker)
    before = life.row(job.id), life.count(*WRITTEN)
    # when that worker commits
    # then nothing is written, whatever the outcome
    for outcome in (succeeded(job), failed(job), failed(job, JobState.QUEUED), Outcome(job, JobState.CANCELLED)):
        assert life.commit(worker, outcome) == set()
    assert (life.row(job.id), life.count(*WRITTEN)) == before


@pytest.mark.guard("fence: state and worker at commit")
def test_a_commit_by_a_worker_that_does_not_hold_the_job_touches_nothing(life: Life) -> None:
    # given a job that one worker runs
    job = life.running(life.worker())
    # when another commits it
    # then nothing happens
    assert life.commit(life.worker(), succeeded(job), failed(job)) == set()
    assert life.count(results) == (0,)


def test_committing_twice_stores_once(life: Life) -> None:
    # given a committed job
    worker = life.worker()
    job = life.running(worker)
    life.commit(worker, succeeded(job))
    # when its outcome comes again
    # then it is not stored again
    assert life.commit(worker, succeeded(job)) == set()
    assert life.count(results, findings, model_calls) == (1, 1, 1)


def test_a_grouped_commit_stores_only_for_the_jobs_it_held(life: Life) -> None:
    # given three running jobs, of which one was taken away
    worker = life.worker()
    kept, lost, refused = life.running(worker), life.running(worker), life.running(worker)
    life.set(lost.id, state="queued", worker=None)
    # when all are committed together
    held = life.commit(worker, succeeded(kept), succeeded(lost, findings=3), failed(refused))
    # then the lost one left no trace, and the others have their ends
    assert held == {kept.id, refused.id}
    assert life.count(results, findings, model_calls) == (1, 1, 1)
    assert [life.state(job.id) for job in (kept, lost, refused)] == ["succeeded", "queued", "failed"]
    assert life.told(lost.id) == ["job.queued"]
    row = life.row(refused.id)
    assert (row.error_code, row.error_message, row.attempts) == ("model_error", "it failed", 1)


def test_a_job_that_ends_after_its_deadline_is_late(life: Life) -> None:
    # given running jobs whose deadline passed in mid-run
    worker = life.worker()
    done, broken = life.running(worker), life.running(worker)
    for job in (done, broken):
        life.set(job.id, deadline=datetime.now(UTC) - timedelta(seconds=1))
    # when they end
    life.commit(worker, succeeded(done), failed(broken))
    # then they have their ends, marked late
    assert (life.state(done.id), life.row(done.id).late) == ("succeeded", True)
    assert (life.state(broken.id), life.row(broken.id).late) == ("failed", True)


@pytest.mark.guard("commit: never what a newer job superseded")
def test_a_job_that_a_newer_one_superseded_ends_superseded_at_its_commit(life: Life) -> None:
    # given a running job, and a newer one of its key
    worker = life.worker()
    job = life.running(worker, supersede_key="part-1")
    life.submit(supersede_key="part-1")
    # when it commits its success
    held = life.commit(worker, succeeded(job))
    # then it ends superseded, without a result
    assert held == {job.id}
    assert life.state(job.id) == "superseded"
    assert life.count(results, findings, model_calls) == (0, 0, 0)
    assert life.told(job.id) == ["job.queued", "job.superseded"]


def test_a_retry_waits_for_its_delay_and_then_wants_a_doorbell(life: Life) -> None:
    # given a running job that was rung for
    worker = life.worker()
    job = life.running(worker)
    life.set(job.id, rung_at=datetime.now(UTC))
    # when its run ends in an error that a retry can help
    assert life.commit(worker, failed(job, JobState.QUEUED, delay_s=60)) == {job.id}
    # then it is queued, one attempt poorer, and not ready before the delay
    row = life.row(job.id)
    assert (row.state, row.rung_at, row.worker, row.attempts) == ("queued", None, None, 1)
    assert (row.ready_at - datetime.now(UTC)).total_seconds() == pytest.approx(60, abs=5)
    assert life.claim(worker, job.id) == []
    assert life.told(job.id) == ["job.queued", "job.retried"]


def test_a_return_for_want_of_the_image_store_uses_up_no_attempt(life: Life) -> None:
    # given a running job with an attempt behind it
    worker = life.worker()
    job = life.running(worker)
    life.set(job.id, attempts=1)
    # when its run finds the image store away
    outcome = Outcome(job, JobState.QUEUED, error_code="storage_unavailable", delay_s=10, costs_attempt=False)
    assert life.commit(worker, outcome) == {job.id}
    # then it waits for its delay, says why, and has as many attempts left as before
    row = life.row(job.id)
    assert (row.state, row.attempts, row.error_code) == ("queued", 1, "storage_unavailable")
    assert life.claim(worker, job.id) == []


@pytest.mark.guard("commit: a cancel before a retry")
def test_a_retry_of_a_job_that_was_asked_to_stop_ends_cancelled(life: Life) -> None:
    # given a running job whose cancel was asked for
    worker = life.worker()
    job = life.running(worker)
    life.set(job.id, cancel_requested=True)
    # when its run would be tried again
    held = life.commit(worker, failed(job, JobState.QUEUED))
    # then it does not come back
    assert held == {job.id}
    assert life.state(job.id) == "cancelled"
    assert life.told(job.id) == ["job.queued", "job.cancelled"]


@pytest.mark.service
def test_a_cancel_that_comes_while_a_job_returns_is_not_lost(postgresql_engine: Engine) -> None:
    # given a running job that returns to the queue, and a cancel between the statements of its commit
    life = Life(postgresql_engine)
    worker = life.worker()
    job = life.running(worker)
    cancelling: list[Future[object]] = []

    def cancel_now(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE jobs") and "ready_at" in statement and not cancelling:
            cancelling.append(pool.submit(write, postgresql_engine, cancel, TENANT, job.id))
            wait(cancelling, timeout=1)

    with ThreadPoolExecutor(1) as pool:
        event.listen(postgresql_engine, "before_cursor_execute", cancel_now)
        # when it is committed
        life.commit(worker, failed(job, JobState.QUEUED))
        [cancelled] = cancelling
        cancelled.result(10)
    # then the cancel waited for it, and met a job that waits
    assert life.state(job.id) == "cancelled"


def test_success_clears_suspicion(life: Life) -> None:
    # given a suspect with strikes that runs alone
    worker, job_id = life.worker(), life.submit()
    life.set(job_id, suspect=True, strikes=2, losses=2)
    [job] = life.claim(worker, job_id, suspects=True)
    # when it succeeds
    life.commit(worker, succeeded(job))
    # then nothing is held against it
    row = life.row(job_id)
    assert (row.suspect, row.strikes, row.losses) == (False, 0, 0)


def test_a_job_that_succeeds_after_an_error_tells_of_no_error(life: Life) -> None:
    # given a job whose first run ended in an error
    worker = life.worker()
    job = life.running(worker)
    life.commit(worker, failed(job, JobState.QUEUED))
    assert life.row(job.id).error_code == "model_error"
    # when the next one succeeds
    [again] = life.claim(worker, job.id)
    life.commit(worker, succeeded(again))
    # then nothing is left of the error but the count
    row = life.row(job.id)
    assert (row.state, row.attempts, row.error_code, row.error_message) == (JobState.SUCCEEDED, 1, None, None)


def test_only_waiting_jobs_are_heard(life: Life) -> None:
    # given a waiting job, a running one and a forged id
    waiting = life.submit(lane="bulk", deadline=datetime.now(UTC) + timedelta(minutes=1))
    running = life.running(life.worker())
    # when a doorbell names all three
    heard = read(life.engine, hearable, [waiting, running.id, uuid4()])
    # then the waiting one is heard, with what its place in the order needs
    [(job_id, application, lane, suspect, seconds, tenant)] = heard
    assert (job_id, application, lane, suspect, tenant) == (waiting, "inspection", "bulk", False, TENANT)
    assert seconds == pytest.approx(60, abs=5)
