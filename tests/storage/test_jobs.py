"""Reading jobs, page by page, and the changes that people ask for."""

from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import NotFound, TransitionRefused
from domain.jobs import REPLAYABLE, TRANSITIONS, JobState
from storage import jobs
from storage.jobs import JobView, superseded_or_cancelled
from storage.session import read, write
from storage.tables import events
from tests.support.life import SHA256, TENANT, Life, failed, succeeded
from tests.support.random_life import STEPS, RandomLife


def page(life: Life, **filters: Any) -> list[UUID]:
    return [view.id for view in read(life.engine, jobs.latest, TENANT, **filters)]


def cancel(life: Life, job_id: UUID, tenant: str = TENANT) -> JobView:
    return write(life.engine, jobs.cancel, tenant, job_id)


def replay(life: Life, job_id: UUID, tenant: str = TENANT) -> JobView:
    return write(life.engine, jobs.replay, tenant, job_id)


def in_state(life: Life, state: JobState) -> UUID:
    """Make a job that is in that state."""
    if state is JobState.QUEUED:
        return life.submit()
    job = life.running(life.worker())
    if state is not JobState.RUNNING:
        life.set(job.id, state=state.value, ended_at=job_time(life, job.id), error_code="model_error", attempts=2)
    return job.id


def job_time(life: Life, job_id: UUID) -> Any:
    return life.row(job_id).created_at


def test_a_job_is_read_with_all_that_its_sender_gave(life: Life) -> None:
    # given a job that succeeded
    worker = life.worker()
    job_id = life.submit(key="k", lane="bulk", metadata={"line": 4}, params={"part": "p"}, supersede_key="s")
    [job] = life.claim(worker, job_id)
    life.commit(worker, succeeded(job))
    # when it is read
    view = read(life.engine, jobs.get, TENANT, job_id)
    # then it says so
    assert (view.state, view.lane, view.idempotency_key, view.supersede_key) == ("succeeded", "bulk", "k", "s")
    assert (view.metadata, view.params, view.images) == ({"line": 4}, {"part": "p"}, [SHA256])
    assert (view.headline, view.error, view.attempts) == ("ACCEPT", None, 0)
    assert view.created_at.tzinfo is not None
    assert view.started_at is not None
    assert view.ended_at is not None


def test_a_failed_job_says_why(life: Life) -> None:
    # given a job that failed
    worker = life.worker()
    job = life.running(worker)
    life.commit(worker, failed(job))
    # when it and its result are read
    view = read(life.engine, jobs.get, TENANT, job.id)
    # then there is an error, and no result
    assert view.error is not None
    assert (view.error.code, view.error.message) == ("model_error", "it failed")
    with pytest.raises(TransitionRefused, match="failed"):
        read(life.engine, jobs.result, TENANT, job.id)


def test_a_result_says_which_model_answered(life: Life) -> None:
    # given a job that succeeded
    worker = life.worker()
    job = life.running(worker)
    life.commit(worker, succeeded(job))
    # when its result is read
    result = read(life.engine, jobs.result, TENANT, job.id)
    # then body, pictures and model calls are there
    assert result.body == {"verdict": "ACCEPT"}
    assert result.pictures == [{"width": 8, "height": 8, "orientation": 1}]
    [call] = result.model_calls
    assert (call.model, call.revision, call.batch_size) == ("drill", "1", 1)


def test_pages_follow_each_other_without_gap_or_overlap(life: Life) -> None:
    # given seven jobs
    ids = [life.submit() for _ in range(7)]
    # when they are read in pages of three
    pages, before = [], None
    while found := page(life, limit=3, before=before):
        pages.append(found)
        before = found[-1]
    # then the newest comes first and each comes once
    newest_first = ids[::-1]
    assert pages == [newest_first[:3], newest_first[3:6], newest_first[6:]]


def test_a_job_that_comes_between_pages_does_not_shift_them(life: Life) -> None:
    # given a first page
    ids = [life.submit() for _ in range(4)]
    first = page(life, limit=2)
    # when another job comes
    life.submit()
    # then the next page goes on where the first ended
    assert page(life, limit=2, before=first[-1]) == [ids[1], ids[0]]


def test_filters_narrow_what_is_listed(life: Life) -> None:
    # given jobs that differ in each way
    worker = life.worker()
    plain, bulk, keyed = life.submit(), life.submit(lane="bulk"), life.submit(key="k")
    running = life.running(worker).id
    life.submit("other")
    # when they are listed by one thing or several
    # then only those that fit are there
    assert page(life) == [running, keyed, bulk, plain]
    assert page(life, lane="bulk") == [bulk]
    assert page(life, idempotency_key="k") == [keyed]
    assert page(life, state=JobState.RUNNING) == [running]
    assert page(life, state=JobState.QUEUED, lane="standard") == [keyed, plain]
    assert page(life, application="inspection", limit=1) == [running]
    assert page(life, application="signs") == []


def test_another_tenants_job_is_not_found_by_any_way(life: Life) -> None:
    # given a job of another tenant, and one that never was
    theirs = life.submit("other")
    # when it is read, cancelled or replayed
    # then it is not found
    for job_id in (theirs, uuid4()):
        for reading in (jobs.get, jobs.result):
            with pytest.raises(NotFound):
                read(life.engine, reading, TENANT, job_id)
        for change in (cancel, replay):
            with pytest.raises(NotFound):
                change(life, job_id)
    assert life.state(theirs) == "queued"


@pytest.mark.parametrize("state", list(JobState))
def test_cancel_at_each_state(life: Life, state: JobState) -> None:
    # given a job in that state
    job_id = in_state(life, state)
    before = life.count(events)
    # when its cancel is asked for, twice
    if state in {JobState.QUEUED, JobState.RUNNING, JobState.CANCELLED}:
        views = [cancel(life, job_id), cancel(life, job_id)]
        # then a waiting one has ended and a running one is asked to stop; asking twice changes nothing
        expected = JobState.RUNNING if state is JobState.RUNNING else JobState.CANCELLED
        assert [view.state for view in views] == [expected, expected]
        assert views[0].cancel_requested is (state is not JobState.CANCELLED)
        assert life.count(events)[0] - before[0] == int(state is JobState.QUEUED)
    else:
        # then it is refused, and says in which state the job is
        with pytest.raises(TransitionRefused, match=state.value):
            cancel(life, job_id)
        assert life.state(job_id) == state
        assert life.count(events) == before


def test_a_running_job_hears_of_its_cancel_at_the_next_checkpoint(life: Life) -> None:
    # given running jobs of which one is to stop, one was superseded and one may go on
    worker = life.worker()
    stopped, superseded, going = life.running(worker), life.running(worker, supersede_key="s"), life.running(worker)
    cancel(life, stopped.id)
    life.submit(supersede_key="s")
    # when the worker looks
    told = read(life.engine, superseded_or_cancelled, [stopped.id, superseded.id, going.id])
    # then it learns which and why
    assert told == {stopped.id: "cancelled", superseded.id: "superseded"}


def test_a_commit_before_the_checkpoint_wins_over_a_cancel(life: Life) -> None:
    # given a running job that was asked to stop
    worker = life.worker()
    job = life.running(worker)
    cancel(life, job.id)
    # when it commits first
    life.commit(worker, succeeded(job))
    # then it has succeeded
    assert life.state(job.id) == "succeeded"


@pytest.mark.parametrize("state", list(JobState))
def test_replay_at_each_state(life: Life, state: JobState) -> None:
    # given a job in that state
    job_id = in_state(life, state)
    life.set(job_id, strikes=2, losses=1, suspect=True, late=True)
    if state in REPLAYABLE:
        # when it is replayed
        view = replay(life, job_id)
        # then it is as if new; a suspect stays one until it succeeds
        row = life.row(job_id)
        assert view.state is JobState.QUEUED
        assert (row.attempts, row.losses, row.strikes, row.suspect, row.late) == (0, 0, 0, True, False)
        assert (row.error_code, row.ended_at, row.started_at, row.rung_at, row.worker) == (None,) * 5
        assert life.told(job_id)[-1] == "job.replayed"
        # and it can be claimed, under a token that no earlier run had
        [job] = life.claim(life.worker(), job_id, suspects=True)
        assert job.token == row.token + 1
    else:
        # then it is refused
        with pytest.raises(TransitionRefused, match=state.value):
            replay(life, job_id)
        assert life.state(job_id) == state


def test_a_job_whose_place_was_taken_is_not_replayed(life: Life) -> None:
    # given a cancelled job, and a newer one of its supersede key
    old = life.submit(supersede_key="s")
    cancel(life, old)
    newer = life.submit(supersede_key="s")
    # when the old one is to be replayed
    # then it is refused, naming the newer one
    with pytest.raises(TransitionRefused, match=str(newer)):
        replay(life, old)
    # and the newest one can be
    cancel(life, newer)
    assert replay(life, newer).state is JobState.QUEUED


def test_a_replayed_job_that_expired_has_time_again(life: Life) -> None:
    # given a job that expired
    job_id = in_state(life, JobState.EXPIRED)
    life.set(job_id, deadline=job_time(life, job_id))
    # when it is replayed
    # then it has no deadline, and runs
    assert replay(life, job_id).deadline is None
    assert len(life.claim(life.worker(), job_id)) == 1


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(STEPS), min_size=5, max_size=40), seed=st.integers(0, 2**16))
def test_no_life_leads_outside_the_transitions(life: Life, steps: list[str], seed: int) -> None:
    # given a random life
    tenant = f"t-{uuid4().hex}"
    random_life = RandomLife(life, tenant, Random(seed))
    before = life.states(tenant)
    for step in steps:
        # when it takes a step
        random_life.step(step)
        after = life.states(tenant)
        # then each job stayed or took an allowed way, and no job is gone
        for job_id, state in before.items():
            # A reap may take two: a lapsed lease gives a job back, and its deadline has passed meanwhile.
            ways = TRANSITIONS[state] | ({JobState.EXPIRED} if (step, state) == ("reap", JobState.RUNNING) else set())
            assert after[job_id] == state or after[job_id] in ways, (step, job_id)
        assert {after[job_id] for job_id in after.keys() - before.keys()} <= {JobState.QUEUED, JobState.SUPERSEDED}
        before = after
    # and each job told of exactly as many ends as it had, less the replays
    for job_id, state in before.items():
        told = life.told(job_id)
        ends = sum(JobState(name.removeprefix("job.")).ended for name in told if name.removeprefix("job.") in _STATES)
        assert ends - told.count("job.replayed") == int(state.ended), told


_STATES = frozenset(state.value for state in JobState)
