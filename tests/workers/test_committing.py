"""The committer: together where it can, one by one where it must, not at all where the lease has lapsed."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from domain.errors import StatementGivenUp, StorageUnavailable
from domain.jobs import JobState
from storage.claims import ClaimedJob, Outcome, commit
from storage.session import write
from storage.tables import results
from tests.support.life import Life, succeeded
from workers import committing
from workers.committing import Committer, Finished
from workers.leasing import Lease

SOON = 20.0


class Settled:
    """Which jobs are through, and a way to wait for them."""

    def __init__(self) -> None:
        self.ids: list[UUID] = []
        self.stand: list[UUID] = []
        """whose outcomes do"""
        self._changed = threading.Condition()

    def __call__(self, job: ClaimedJob, stands: bool) -> None:
        with self._changed:
            self.ids.append(job.id)
            self.stand += [job.id] if stands else []
            self._changed.notify_all()

    def until(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ids) >= count, SOON)


Write = Callable[[UUID, Sequence[Outcome]], set[UUID]]


@contextmanager
def committer(writing: Write) -> Iterator[tuple[Committer, Settled]]:
    settled = Settled()
    one = Committer(writing, settled)
    try:
        yield one, settled
    finally:
        one.close()


def lease(worker: UUID, seconds: float = 60.0) -> Lease:
    return Lease(worker, monotonic() + seconds)


def to(engine: Engine) -> Write:
    return lambda worker, outcomes: write(engine, commit, worker, outcomes)


@pytest.fixture
def life(engine: Engine) -> Life:
    """A database of each kind."""
    return Life(engine)


def test_what_finished_while_a_commit_was_under_way_shares_the_next(life: Life) -> None:
    # given a commit that takes its time
    worker, groups, gate = life.worker(), [], threading.Event()
    held = lease(worker)

    def slowly(by: UUID, outcomes: Sequence[Outcome]) -> set[UUID]:
        groups.append(len(outcomes))
        assert gate.wait(SOON)
        return to(life.engine)(by, outcomes)

    ended = [life.running(worker) for _ in range(6)]
    with committer(slowly) as (one, settled):
        one.put(Finished(succeeded(ended[0]), held))
        while not groups:
            threading.Event().wait(0.001)
        # when five more finish meanwhile
        for job in ended[1:]:
            one.put(Finished(succeeded(job), held))
        gate.set()
        settled.until(6)
    # then they share a transaction, and all have their results
    assert groups == [1, 5]
    assert settled.stand == settled.ids
    assert life.count(results) == (6,)


@pytest.mark.guard("commit: a grouped commit that fails is repeated job by job")
@pytest.mark.parametrize("bad", [{"headline": None}, {"body": {"score": {1, 2}}}, {"version": None}])
def test_one_result_that_cannot_be_stored_does_not_keep_the_others_from_it(life: Life, bad: dict[str, object]) -> None:
    # given three jobs, of which one has a result that no database takes
    worker, started, gate = life.worker(), threading.Event(), threading.Event()
    held = lease(worker)
    first, good, broken, also_good = (life.running(worker) for _ in range(4))

    def gated(by: UUID, outcomes: Sequence[Outcome]) -> set[UUID]:
        started.set()
        assert gate.wait(SOON)
        return to(life.engine)(by, outcomes)

    with committer(gated) as (one, settled):
        one.put(Finished(succeeded(first), held))
        assert started.wait(SOON)
        # when they are committed together
        for outcome in (succeeded(good), succeeded(broken, **bad), succeeded(also_good)):
            one.put(Finished(outcome, held))
        gate.set()
        settled.until(4)
    # then the others have succeeded, and that one has failed and says why
    assert [life.state(job.id) for job in (good, broken, also_good)] == ["succeeded", "failed", "succeeded"]
    assert life.row(broken.id).error_code == "result_refused"
    assert settled.stand == [first.id, good.id, also_good.id]
    assert life.count(results) == (3,)


def test_a_lapsed_leases_outcome_is_let_go(life: Life) -> None:
    # given a job that ended after its worker's lease had lapsed by its own clock
    worker = life.worker()
    job = life.running(worker)
    with committer(to(life.engine)) as (one, settled):
        # when it is put
        one.put(Finished(succeeded(job), lease(worker, -1.0)))
        settled.until(1)
    # then nothing was written, and its thread is free
    assert life.state(job.id) == "running"
    assert (settled.ids, settled.stand) == ([job.id], [])


def test_outcomes_under_different_leases_are_committed_each_by_its_own_worker(life: Life) -> None:
    # given jobs of two stretches of one process's life
    workers = life.worker(), life.worker()
    pairs = [(life.running(worker), lease(worker)) for worker in workers]
    with committer(to(life.engine)) as (one, settled):
        # when both end
        for job, held in pairs:
            one.put(Finished(succeeded(job), held))
        settled.until(2)
    # then both are stored
    assert life.count(results) == (2,)


def test_a_commit_waits_while_the_database_does_not_answer(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a database that does not answer twice
    monkeypatch.setattr(committing, "PAUSE_S", 0.01)
    worker, failures = life.worker(), [StorageUnavailable("gone"), StorageUnavailable("gone")]
    job = life.running(worker)

    def at_last(by: UUID, outcomes: Sequence[Outcome]) -> set[UUID]:
        if failures:
            raise failures.pop()
        return to(life.engine)(by, outcomes)

    with committer(at_last) as (one, settled):
        # when a job ends
        one.put(Finished(succeeded(job), lease(worker)))
        settled.until(1)
    # then it is stored when the database is back
    assert life.state(job.id) == JobState.SUCCEEDED


@pytest.mark.parametrize("error", [StatementGivenUp("statement timeout"), StorageUnavailable("out of memory")])
def test_what_the_database_does_not_take_together_it_gets_one_by_one(
    life: Life, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    # given a database that takes no two at once, and a commit under way
    monkeypatch.setattr(committing, "PAUSE_S", 0.01)
    worker, started, gate = life.worker(), threading.Event(), threading.Event()
    held = lease(worker)

    def only_one(by: UUID, outcomes: Sequence[Outcome]) -> set[UUID]:
        started.set()
        assert gate.wait(SOON)
        if len(outcomes) > 1:
            raise error
        return to(life.engine)(by, outcomes)

    ended = [life.running(worker) for _ in range(5)]
    with committer(only_one) as (one, settled):
        one.put(Finished(succeeded(ended[0]), held))
        assert started.wait(SOON)
        # when four more end together
        for job in ended[1:]:
            one.put(Finished(succeeded(job), held))
        gate.set()
        settled.until(5)
    # then all have succeeded
    assert {life.state(job.id) for job in ended} == {"succeeded"}


def test_a_result_on_which_the_database_gives_up_every_time_is_refused(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a result that is more than the database can take, and one on which it gives up once, for want of time
    monkeypatch.setattr(committing, "PAUSE_S", 0.01)
    worker = life.worker()
    much, late = life.running(worker), life.running(worker)
    held, gave_up = lease(worker), []

    def gives_up(by: UUID, outcomes: Sequence[Outcome]) -> set[UUID]:
        [outcome] = outcomes
        if outcome.body and (outcome.job.id == much.id or not gave_up.count(late.id)):
            gave_up.append(outcome.job.id)
            raise StatementGivenUp("too much")
        return to(life.engine)(by, outcomes)

    with committer(gives_up) as (one, settled):
        # when they end one after the other
        for at, job in enumerate((much, late), 1):
            one.put(Finished(succeeded(job), held))
            settled.until(at)
    # then the first was tried some times, has failed and says why, and the second has succeeded
    assert gave_up == [much.id] * committing.TRIES + [late.id]
    assert (life.state(much.id), life.row(much.id).error_code) == ("failed", "result_refused")
    assert life.state(late.id) == "succeeded"


def test_a_commit_waits_no_longer_than_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a database that stays away
    monkeypatch.setattr(committing, "PAUSE_S", 0.01)

    def never(by: UUID, outcomes: Sequence[Outcome]) -> set[UUID]:
        raise StorageUnavailable("gone")

    job = ClaimedJob(uuid4(), 1, "acme", "inspection", "standard", {}, (), 0, False, None)
    with committer(never) as (one, settled):
        # when a job ends under a lease of a tenth of a second
        one.put(Finished(succeeded(job), lease(uuid4(), 0.1)))
        # then it is let go when that is over
        settled.until(1)


def test_closing_commits_what_is_there(life: Life) -> None:
    # given twenty outcomes
    worker = life.worker()
    held, ended = lease(worker), [life.running(worker) for _ in range(20)]
    with committer(to(life.engine)) as (one, settled):
        for job in ended:
            one.put(Finished(succeeded(job), held))
        # when the committer is closed at once
    # then all of them are stored
    assert life.count(results) == (20,)
    assert sorted(settled.ids) == sorted(job.id for job in ended)
