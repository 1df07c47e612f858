"""The job threads: claiming as they come free, suspects alone, stragglers by themselves."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from uuid import UUID, uuid4

import pytest

from domain.errors import StorageUnavailable
from domain.jobs import JobState
from storage.claims import ClaimedJob, Outcome
from workers import crew as crew_module
from workers.committing import Finished
from workers.crew import Crew, Links, watching
from workers.hearing import Ears
from workers.leasing import Lease

SOON = 10.0


@dataclass
class Yard:
    """Jobs that run until a test lets them end, and a record of what happened when."""

    size: int = 2
    lease: Lease = field(default_factory=lambda: Lease(uuid4(), monotonic() + 600))
    suspects: set[UUID] = field(default_factory=set)
    stale: set[UUID] = field(default_factory=set)
    claims_fail: int = 0
    failure: type[Exception] = StorageUnavailable
    started: list[UUID] = field(default_factory=list)
    running: set[UUID] = field(default_factory=set)
    together: dict[UUID, set[UUID]] = field(default_factory=dict)
    """what else was running when a job started"""
    ended: list[UUID] = field(default_factory=list)
    stops: dict[UUID, str | None] = field(default_factory=dict)
    crashes: set[UUID] = field(default_factory=set)
    handed_back: list[UUID] = field(default_factory=list)
    turns: int = 0

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.may_end: set[UUID] = set()
        self.all_may_end = False
        self.ears = Ears()
        self.crew = Crew(
            self.size,
            self.ears,
            Links(lambda: self.lease, self.claim, self.perform, self.commit, self.handed_back.extend, self.turn),
        )

    def turn(self) -> None:
        self.turns += 1

    def claim(self, worker: UUID, ids: Sequence[UUID], suspects: bool) -> list[ClaimedJob]:
        if self.claims_fail:
            self.claims_fail -= 1
            raise self.failure("gone")
        taken = [one for one in ids if one not in self.stale and (one in self.suspects) == suspects]
        return [ClaimedJob(one, 1, "acme", "inspection", "standard", {}, (), 0, suspects, None) for one in taken]

    def perform(self, job: ClaimedJob, stopped: Callable[[], str | None]) -> Outcome | None:
        with self.changed:
            self.together[job.id] = set(self.running)
            self.running.add(job.id)
            self.started.append(job.id)
            self.changed.notify_all()
            while not (self.all_may_end or job.id in self.may_end or stopped()):
                self.changed.wait(0.01)
            self.stops[job.id] = stopped()
            self.running.discard(job.id)
            self.changed.notify_all()
            if job.id in self.crashes:
                raise RuntimeError("a job thread's own fault")
        return None if self.stops[job.id] == "fenced" else Outcome(job, JobState.SUCCEEDED)

    def commit(self, finished: Finished) -> None:
        with self.changed:
            self.ended.append(finished.outcome.job.id)
            self.changed.notify_all()
        self.crew.settled(finished.outcome.job)

    def hear(self, *ids: UUID) -> None:
        self.ears.hear([(one, "standard", one in self.suspects, None, "acme") for one in ids])

    def let_end(self, *ids: UUID) -> None:
        with self.changed:
            self.may_end.update(ids)
            self.changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, SOON)


@pytest.fixture
def yard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    """A crew of two that looks often."""
    monkeypatch.setattr(crew_module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(crew_module, "PAUSE_S", 0.02)
    yard = Yard()
    yard.crew.start()
    yield yard
    yard.all_may_end = True
    yard.crew.drain(SOON)
    yard.crew._pool.shutdown()


def ids(count: int) -> list[UUID]:
    return sorted(uuid4() for _ in range(count))


def test_jobs_run_as_threads_come_free(yard: Yard) -> None:
    # given three jobs and two threads
    first, second, third = ids(3)
    yard.hear(first, second, third)
    yard.until(lambda: len(yard.started) == 2)
    # when one ends
    assert set(yard.crew.held()) == {first, second}
    yard.let_end(first)
    # then the third begins
    yard.until(lambda: yard.started[2:] == [third])
    assert yard.ended == [first]


def test_a_straggler_does_not_idle_the_rest(yard: Yard) -> None:
    # given a job that takes for ever
    straggler, *others = ids(12)
    yard.hear(straggler)
    yard.until(lambda: yard.started == [straggler])
    # when many others come
    yard.hear(*others)
    yard.let_end(*others)
    # then all of them end beside it
    yard.until(lambda: yard.ended == others)
    assert set(yard.crew.held()) == {straggler}


@pytest.mark.guard("suspect: runs alone")
def test_a_suspect_runs_alone(yard: Yard) -> None:
    # given a job that runs, and a suspect and another job that wait
    first, suspect, last = ids(3)
    yard.suspects.add(suspect)
    yard.hear(first)
    yard.until(lambda: yard.started == [first])
    yard.hear(suspect, last)
    # when the first ends
    turns = yard.turns
    while yard.turns < turns + 3:
        threading.Event().wait(0.005)
    assert yard.started == [first]
    yard.let_end(first)
    yard.until(lambda: yard.started[1:] == [suspect])
    # then the suspect runs with nobody beside it, and nobody begins before it has ended
    assert yard.together[suspect] == set()
    turns = yard.turns
    while yard.turns < turns + 3:
        threading.Event().wait(0.005)
    assert yard.running == {suspect}
    yard.let_end(suspect)
    yard.until(lambda: yard.started[2:] == [last])


def test_stale_ids_are_let_go(yard: Yard) -> None:
    # given ids of which one is stale
    stale, good = ids(2)
    yard.stale.add(stale)
    yard.hear(stale, good)
    # when they are claimed
    yard.let_end(good)
    yard.until(lambda: yard.ended == [good])
    # then nothing is left of the other
    assert stale not in yard.crew.held()
    assert len(yard.ears) == 0


@pytest.mark.parametrize("failure", [StorageUnavailable, RuntimeError])
def test_claims_wait_while_the_database_does_not_answer(yard: Yard, failure: type[Exception]) -> None:
    # given a database that fails twice, in a way foreseen or not
    yard.claims_fail, yard.failure = 2, failure
    (job,) = ids(1)
    # when a job is heard
    yard.hear(job)
    yard.let_end(job)
    # then it runs when the database is back
    yard.until(lambda: yard.ended == [job])


def test_nothing_is_claimed_under_a_lapsed_lease(yard: Yard) -> None:
    # given a worker whose lease has lapsed by its own clock
    yard.lease.until = monotonic() - 1
    (job,) = ids(1)
    # when a job is heard
    yard.hear(job)
    threading.Event().wait(0.2)
    # then it is not claimed, but kept: under a new lease it runs
    assert yard.started == []
    yard.lease = Lease(uuid4(), monotonic() + 600)
    yard.until(lambda: yard.started == [job])


def test_a_running_job_is_told_to_stop_with_its_reason(yard: Yard) -> None:
    # given two running jobs
    stopped, going = ids(2)
    yard.hear(stopped, going)
    yard.until(lambda: len(yard.started) == 2)
    # when one is to stop
    yard.crew.stop({stopped: "cancelled", uuid4(): "cancelled"})
    # then it hears why, and the other goes on
    yard.until(lambda: yard.ended == [stopped])
    assert yard.stops == {stopped: "cancelled"}
    assert set(yard.crew.held()) == {going}


def test_jobs_of_a_lapsed_lease_stop_as_fenced_and_commit_nothing(yard: Yard) -> None:
    # given a running job
    (job,) = ids(1)
    yard.hear(job)
    yard.until(lambda: yard.started == [job])
    # when its lease is fenced
    yard.lease.fenced = True
    yard.until(lambda: job in yard.stops)
    # then it stops, says nothing, and its thread is free
    assert yard.stops == {job: "fenced"}
    assert yard.crew.drain(SOON)
    assert yard.ended == []


def test_a_fault_of_a_job_thread_frees_it(yard: Yard) -> None:
    # given a job whose thread fails
    (job,) = ids(1)
    yard.crashes.add(job)
    yard.hear(job)
    # when it does
    yard.let_end(job)
    # then it is not held any more
    yard.until(lambda: job in yard.stops)
    assert yard.crew.drain(SOON)
    assert yard.crew.held() == {}


def test_a_job_for_which_there_is_no_thread_returns_and_the_crew_goes_on(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a running job, and a machine that has no thread for a second
    first, second, third = ids(3)
    returned: list[Outcome] = []
    commit = yard.crew.links.commit

    def commit_and_remember(finished: Finished) -> None:
        if finished.outcome.state is JobState.QUEUED:
            returned.append(finished.outcome)
        commit(finished)

    yard.crew.links = replace(yard.crew.links, commit=commit_and_remember)
    yard.hear(first)
    yard.until(lambda: yard.started == [first])

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as crowded:
        crowded.setattr(threading.Thread, "start", refuse)
        # when the second is heard
        yard.hear(second)
        yard.until(lambda: yard.ended == [second])
    # then it goes back without an attempt, and does not run here all the same when a thread comes free
    [outcome] = returned
    assert (outcome.job.id, outcome.error_code) == (second, None)
    assert outcome.delay_s > 0
    yard.let_end(first)
    yard.until(lambda: first in yard.ended)
    # and the crew claims on
    yard.hear(third)
    yard.let_end(third)
    yard.until(lambda: third in yard.ended)
    assert yard.started == [first, third]


def test_draining_waits_for_what_runs_and_claims_no_more(yard: Yard) -> None:
    # given a running job and one that is heard behind a full house
    first, second, third = ids(3)
    yard.hear(first, second, third)
    yard.until(lambda: len(yard.started) == 2)
    # when the crew drains with little time
    assert not yard.crew.drain(0.05)
    # then it says that something still runs; and with more time it ends, without the third
    yard.let_end(first, second)
    assert yard.crew.drain(SOON)
    assert third not in yard.started
    assert yard.ears.close() == [third]


def test_what_was_taken_from_the_ears_and_not_claimed_is_handed_back_by_a_worker_that_leaves(yard: Yard) -> None:
    # given a claim that fails at the moment at which the worker leaves
    first, second = ids(2)
    closed: list[UUID] = []

    def fail(worker: UUID, heard: Sequence[UUID], suspects: bool) -> list[ClaimedJob]:
        closed.extend(yard.ears.close())
        raise StorageUnavailable("gone")

    yard.crew.links = replace(yard.crew.links, claim=fail)
    # when two jobs are heard
    yard.hear(first, second)
    until = monotonic() + SOON
    while not yard.handed_back and monotonic() < until:
        threading.Event().wait(0.01)
    # then what closing did not return is handed back all the same
    assert sorted(closed + yard.handed_back) == [first, second]


def test_a_long_drain_is_no_stall(yard: Yard) -> None:
    # given a job that takes its time
    (job,) = ids(1)
    yard.hear(job)
    yard.until(lambda: yard.started == [job])
    # when the crew drains for it
    before = yard.turns
    assert not yard.crew.drain(0.3)
    # then the watchdog was told that all is well until the end of it
    assert yard.turns > before + 3
    yard.let_end(job)


def test_cancels_are_seen_again_after_the_database_failed(yard: Yard) -> None:
    # given a running job, and a database that fails in ways foreseen and not
    (job,) = ids(1)
    yard.hear(job)
    yard.until(lambda: yard.started == [job])
    failures: list[Exception] = [RuntimeError("the driver's own error"), StorageUnavailable("gone")]
    closing = threading.Event()

    def look(held: list[UUID]) -> dict[UUID, str]:
        if failures:
            raise failures.pop()
        return dict.fromkeys(held, "superseded")

    # when its worker looks for cancels
    thread = watching(yard.crew, look, closing)
    # then the job hears of it
    yard.until(lambda: yard.stops == {job: "superseded"})
    closing.set()
    thread.join(SOON)
