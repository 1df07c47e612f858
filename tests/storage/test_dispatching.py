"""Which jobs are rung for, in which order, and what happens to a doorbell that was lost."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from domain.jobs import JobState
from storage import dispatching
from storage.claims import claim
from storage.dispatching import (
    Queue,
    Waiting,
    forget_lost_doorbells,
    hold,
    live_queues,
    mark_rung,
    outstanding,
    still_heard,
    waiting,
)
from storage.session import read, write
from tests.support.life import TENANT, Life, succeeded
from workers import dispatch
from workers.celery_app import IDS_PER_MESSAGE
from workers.dispatch import WINDOW_MOST, Dispatcher

STANDARD = Queue("inspection", "standard")


@dataclass
class Broker:
    """Takes doorbells, or fails as told."""

    rung: list[tuple[str, list[UUID]]] = field(default_factory=list)
    down: bool = False
    without: frozenset[str] = frozenset()
    """queues that it does not take"""
    refuse_after: int | None = None

    def ring(self, queue: str, ids: Sequence[UUID]) -> None:
        """Take one message."""
        if (
            self.down
            or queue in self.without
            or (self.refuse_after is not None and len(self.rung) >= self.refuse_after)
        ):
            raise OSError("the broker is gone")
        self.rung.append((queue, list(ids)))

    @property
    def ids(self) -> list[UUID]:
        """All that was rung for, in order."""
        return [job_id for _, ids in self.rung for job_id in ids]


@pytest.fixture
def broker() -> Broker:
    """A broker that remembers what it took."""
    return Broker()


@pytest.fixture
def dispatcher(engine: Engine, broker: Broker) -> Dispatcher:
    """A dispatcher that rings that broker."""
    return Dispatcher(engine, broker.ring, rering_s=30.0)


def wanted(life: Life, limit: int, queue: Queue = STANDARD, **named: Any) -> list[UUID]:
    return [one.id for one in read(life.engine, waiting, queue, limit, **named)]


def test_the_oldest_is_rung_for_first(life: Life) -> None:
    # given five jobs
    ids = [life.submit() for _ in range(5)]
    # when three are asked for
    # then they are the oldest, in order
    assert wanted(life, 3) == ids[:3]


def test_the_nearest_deadline_goes_before_age(life: Life) -> None:
    # given an old job without a deadline, and newer ones with one
    now = datetime.now(UTC)
    old = life.submit()
    far, near = (life.submit(deadline=now + timedelta(minutes=minutes)) for minutes in (20, 10))
    # when they are asked for
    # then the nearest deadline comes first, and each job once
    assert wanted(life, 10) == [near, far, old]
    assert wanted(life, 1) == [near]


def test_tenants_take_turns_whoever_came_first_or_most(life: Life) -> None:
    # given a tenant with a heap of jobs, and two that came later with few
    heap = [life.submit("aaa") for _ in range(6)]
    few = [life.submit("bbb") for _ in range(2)]
    one = life.submit("ccc")
    # when six are asked for
    # then they go round
    assert wanted(life, 6) == [heap[0], few[0], one, heap[1], few[1], heap[2]]


def test_tenants_take_turns_even_where_one_place_at_a_time_comes_free(
    life: Life, broker: Broker, dispatcher: Dispatcher
) -> None:
    # given three tenants with work, and a worker for whom the window is two
    worker = life.worker(capacity=1)
    for tenant in ("aaa", "bbb", "ccc"):
        for _ in range(12):
            life.submit(tenant)
    served: list[str] = []
    # when jobs are run one after the other, so that one place comes free at a time
    for _ in range(12):
        dispatcher.rates.clear()
        dispatcher.round()
        job_id = next(job_id for job_id in broker.ids if life.state(job_id) == "queued")
        [job] = life.claim(worker, job_id)
        life.commit(worker, succeeded(job))
        served.append(job.tenant)
    # then each tenant was served as often as the others
    assert sorted(served) == ["aaa"] * 4 + ["bbb"] * 4 + ["ccc"] * 4


def test_few_places_are_filled_without_looking_at_every_tenant(life: Life) -> None:
    # given thirty tenants with a job each, of which the first in turn has none that is ready
    tenants = [f"t{at:02}" for at in range(30)]
    ids = {tenant: life.submit(tenant) for tenant in tenants}
    life.set(ids["t05"], ready_at=datetime.now(UTC) + timedelta(hours=1))
    sent: list[str] = []
    event.listen(life.engine, "before_cursor_execute", lambda _c, _cur, statement, *_: sent.append(statement))
    # when two places come free behind the fifth
    found = wanted(life, 2, after="t04")
    # then the next two that have something ready fill them, after a few looks
    assert found == [ids["t06"], ids["t07"]]
    assert len([statement for statement in sent if "jobs" in statement]) < 10
    # and behind the last it begins anew
    assert wanted(life, 2, after="t28") == [ids["t29"], ids["t00"]]


def test_what_is_held_back_rung_or_ended_is_not_rung_for(life: Life) -> None:
    # given jobs of which one is not ready, one was rung for, one runs, one ended, and one is in another lane
    life.submit(not_before=datetime.now(UTC) + timedelta(hours=1))
    rung, running, ended = life.submit(), life.running(life.worker()), life.submit()
    life.submit(lane="bulk")
    life.set(rung, rung_at=datetime.now(UTC))
    life.set(ended, state=JobState.CANCELLED.value)
    ready = life.submit()
    # when they are asked for
    # then only the one that may run now is found
    assert wanted(life, 10) == [ready]
    assert running.id not in wanted(life, 10)


def test_what_is_too_late_is_not_rung_for_and_fills_no_window(life: Life, dispatcher: Dispatcher) -> None:
    # given a worker's window of jobs whose deadline passed just now, and one that has time
    life.worker(capacity=1)
    for _ in range(4):
        life.set(life.submit(), deadline=datetime.now(UTC) - timedelta(seconds=1))
    in_time = life.submit(deadline=datetime.now(UTC) + timedelta(hours=1))
    without = life.submit()
    # when the dispatcher makes its round
    # then it rings for those that can be claimed
    assert wanted(life, 10) == [in_time, without]
    assert dispatcher.round() == 2


def test_marking_is_for_those_that_still_wait(life: Life) -> None:
    # given a job that was cancelled while its doorbell was on its way
    kept, cancelled = life.submit(), life.submit()
    life.set(cancelled, state=JobState.CANCELLED.value)
    # when both are marked
    write(life.engine, mark_rung, [Waiting(kept, TENANT), Waiting(cancelled, TENANT)])
    # then the cancelled one is left alone
    assert life.row(kept).rung_at is not None
    assert life.row(cancelled).rung_at is None


def test_marking_is_not_for_one_that_was_claimed_and_given_back_while_its_doorbell_was_on_its_way(life: Life) -> None:
    # given a job that was found, rung for, claimed at once, and came back: it wants another doorbell
    worker, job_id = life.worker(), life.submit()
    found = read(life.engine, waiting, STANDARD, 10)
    life.claim(worker, job_id)
    life.end(worker, lost=False)
    # when the first doorbell is marked
    write(life.engine, mark_rung, found)
    # then it is still to be rung for, and that one counts
    assert life.row(job_id).rung_at is None
    write(life.engine, mark_rung, read(life.engine, waiting, STANDARD, 10))
    assert life.row(job_id).rung_at is not None


def test_outstanding_is_what_was_rung_for_or_runs(life: Life) -> None:
    # given one job that waits, one that was rung for, one that runs, one that ended and one of another lane
    worker = life.worker()
    life.submit()
    life.set(life.submit(), rung_at=datetime.now(UTC))
    life.running(worker)
    done = life.running(worker)
    life.commit(worker, succeeded(done))
    life.set(life.submit(lane="bulk"), rung_at=datetime.now(UTC))
    # when they are counted
    # then two are outstanding
    assert read(life.engine, outstanding, STANDARD) == 2


def test_queues_are_those_that_live_workers_serve(life: Life) -> None:
    # given two workers of a queue, one lapsed and one ended
    life.worker("inspection.standard", "inspection.bulk", capacity=3)
    life.worker("inspection.standard", capacity=4)
    life.lapse(life.worker("inspection.interactive"))
    life.end(life.worker("inspection.interactive"))
    # when the dispatcher looks
    # then capacities add up, and what is gone does not count
    assert read(life.engine, live_queues) == {STANDARD: 7, Queue("inspection", "bulk"): 3}


def test_a_queue_that_no_live_worker_serves_is_not_rung(life: Life, broker: Broker, dispatcher: Dispatcher) -> None:
    # given jobs in two lanes, of which a worker serves one
    life.worker("inspection.standard")
    served = life.submit()
    unserved = life.submit(lane="bulk")
    # when the dispatcher makes its round
    assert dispatcher.round() == 1
    # then the other stays as it was, until a worker comes
    assert broker.rung == [("inspection.standard", [served])]
    life.worker("inspection.bulk")
    dispatcher.round()
    assert broker.rung[1:] == [("inspection.bulk", [unserved])]


def test_queues_on_which_nothing_waits_cost_a_round_nothing(life: Life, broker: Broker, dispatcher: Dispatcher) -> None:
    # given a worker of thirty queues, on one of which a job waits
    life.worker("inspection.standard", *(f"application-{at}.standard" for at in range(29)))
    job = life.submit()
    dispatcher.round()
    sent: list[str] = []
    event.listen(life.engine, "before_cursor_execute", lambda _c, _cur, statement, *_: sent.append(statement))
    # when its doorbell rang and a round finds nothing else to ring for
    assert dispatcher.round() == 0
    # then the database was asked for the queues, and whether anything waits on them
    assert broker.ids == [job]
    assert len([statement for statement in sent if "SELECT" in statement]) == 2


def test_a_window_bounds_what_is_outstanding(life: Life, broker: Broker, dispatcher: Dispatcher) -> None:
    # given more jobs than two batches of a worker
    worker = life.worker(capacity=3)
    ids = [life.submit() for _ in range(10)]
    # when the dispatcher makes rounds and nothing ends
    assert [dispatcher.round() for _ in range(3)] == [6, 0, 0]
    # then it rang for two batches; and a job that ends makes room for one more
    assert broker.ids == ids[:6]
    [job] = life.claim(worker, ids[0])
    life.commit(worker, succeeded(job))
    dispatcher.rates.clear()
    assert dispatcher.round() == 1


def test_lanes_have_windows_of_their_own(life: Life, broker: Broker, dispatcher: Dispatcher) -> None:
    # given a lane whose window is full
    life.worker(capacity=1)
    for _ in range(5):
        life.submit(lane="bulk")
    assert dispatcher.round() == 2
    # when an interactive job comes
    urgent = life.submit(lane="interactive")
    # then it is rung for at once
    assert dispatcher.round() == 1
    assert broker.ids[-1] == urgent


def test_a_quick_queue_gets_a_window_of_two_seconds_work(life: Life, dispatcher: Dispatcher) -> None:
    # given a queue that was seen to end a hundred jobs a second
    life.worker(capacity=1)
    for _ in range(40):
        life.submit()
    dispatcher.round()
    dispatcher.rates[STANDARD].per_s = 100.0
    # when the dispatcher comes round again
    # then its window has grown
    assert dispatcher.round() == 38
    assert WINDOW_MOST > 40


def test_one_message_carries_a_bounded_number_of_ids(life: Life, broker: Broker, dispatcher: Dispatcher) -> None:
    # given more jobs than fit into a message, and a large worker
    life.worker(capacity=IDS_PER_MESSAGE)
    ids = [life.submit() for _ in range(IDS_PER_MESSAGE + 3)]
    # when they are rung for
    dispatcher.round()
    # then there are two messages
    assert [len(part) for _, part in broker.rung] == [IDS_PER_MESSAGE, 3]
    assert broker.ids == ids


@pytest.mark.guard("re-ring: an unanswered doorbell rings again")
def test_a_doorbell_that_nobody_answered_rings_again_after_a_while(
    life: Life, broker: Broker, dispatcher: Dispatcher
) -> None:
    # given two jobs that were rung for, one of them long ago
    life.worker()
    lost, fresh = life.submit(), life.submit()
    dispatcher.round()
    life.set(lost, rung_at=datetime.now(UTC) - timedelta(seconds=31))
    # when the dispatcher looks for lost doorbells
    assert dispatcher.forget_lost() == 1
    dispatcher.round()
    # then only the old one rings again
    assert broker.ids == [lost, fresh, lost]


def test_no_more_doorbells_are_forgotten_at_once_than_intended(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    # given five doorbells that were lost
    monkeypatch.setattr(dispatching, "FORGOTTEN_AT_ONCE", 2)
    for _ in range(5):
        life.set(life.submit(), rung_at=datetime.now(UTC) - timedelta(hours=1))
    # when they are forgotten two at a time
    # then that is how many it are
    assert [write(life.engine, forget_lost_doorbells, STANDARD, 30.0) for _ in range(4)] == [2, 2, 1, 0]


def test_a_job_that_runs_long_is_not_rung_for_again(life: Life, dispatcher: Dispatcher) -> None:
    # given a job that was rung for long ago and runs since
    job = life.running(life.worker())
    life.set(job.id, rung_at=datetime.now(UTC) - timedelta(hours=1))
    # when lost doorbells are looked for
    # then it is not one
    assert dispatcher.forget_lost() == 0
    assert write(life.engine, forget_lost_doorbells, STANDARD, 30.0) == 0


def test_a_broker_that_refuses_loses_nothing(life: Life, broker: Broker, dispatcher: Dispatcher) -> None:
    # given a broker that is down
    life.worker()
    job_id = life.submit()
    broker.down = True
    # when the dispatcher rings
    with pytest.raises(OSError, match="gone"):
        dispatcher.round()
    # then the job still wants its doorbell, and gets it when the broker is back
    assert life.row(job_id).rung_at is None
    broker.down = False
    dispatcher.round()
    assert broker.ids == [job_id]


def test_a_queue_that_the_broker_refuses_starves_no_other(
    life: Life, broker: Broker, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given jobs in three lanes, of which the broker takes all but the first
    lanes = ("interactive", "standard", "bulk")
    life.worker(*(f"inspection.{lane}" for lane in lanes))
    refused, *taken = (life.submit(lane=lane) for lane in lanes)
    broker.without = frozenset({"inspection.interactive"})
    # when the dispatcher makes its round
    with pytest.raises(OSError, match="gone"):
        dispatcher.round()
    # then the others were rung for, and the refusal was told
    assert broker.ids == taken
    assert life.row(refused).rung_at is None
    # and while refusals take long, what is refused comes last
    monkeypatch.setattr(dispatch, "PATIENCE_S", 0.0)
    more = life.submit(lane="bulk")
    with pytest.raises(OSError, match="gone"):
        dispatcher.round()
    assert broker.ids == [*taken, more]
    # and it gets its doorbell as soon as it is taken
    broker.without = frozenset()
    dispatcher.round()
    assert broker.ids == [*taken, more, refused]


@pytest.mark.guard("outbox: publish, then mark")
def test_a_failure_between_publishing_and_marking_rings_again(
    life: Life, broker: Broker, dispatcher: Dispatcher
) -> None:
    # given more jobs than one message, and a broker that takes the first message and then goes away
    life.worker(capacity=IDS_PER_MESSAGE)
    ids = [life.submit() for _ in range(IDS_PER_MESSAGE + 1)]
    broker.refuse_after = 1
    with pytest.raises(OSError, match="gone"):
        dispatcher.round()
    # when it is back
    broker.refuse_after = None
    dispatcher.round()
    # then what it had taken rings twice, and nothing is missing
    assert broker.ids == ids[:IDS_PER_MESSAGE] + ids


@pytest.mark.service
def test_a_queue_that_another_dispatcher_is_at_is_left_alone(postgresql_engine: Engine, broker: Broker) -> None:
    # given a dispatcher that is publishing for a queue
    life = Life(postgresql_engine)
    life.worker()
    job_id = life.submit()
    with postgresql_engine.begin() as connection:
        assert hold(connection, STANDARD)
        # when a second one makes its round
        Dispatcher(postgresql_engine, broker.ring, rering_s=30.0).round()
        # then it does not ring for the same jobs
        assert broker.ids == []
    # and once the first is done, it does
    Dispatcher(postgresql_engine, broker.ring, rering_s=30.0).round()
    assert broker.ids == [job_id]


@pytest.mark.service
def test_a_worker_that_is_faster_than_the_dispatchers_mark_claims_all_the_same(postgresql_engine: Engine) -> None:
    # given a worker that claims as soon as the message is out, before the dispatcher has marked the job as rung
    life = Life(postgresql_engine)
    worker = life.worker()
    job_id = life.submit()
    claimed: list[UUID] = []

    def ring(_queue: str, ids: Sequence[UUID]) -> None:
        claimed.extend(job.id for job in life.claim(worker, *ids))

    # when the dispatcher makes its round
    Dispatcher(postgresql_engine, ring, rering_s=30.0).round()
    # then the doorbell was not lost, and the mark leaves the job alone
    assert claimed == [job_id]
    assert life.state(job_id) == "running"
    assert life.row(job_id).rung_at is None


@pytest.mark.service
def test_a_claim_waits_for_a_mark_that_is_not_committed(postgresql_engine: Engine) -> None:
    # given a dispatcher between its mark and its commit
    life = Life(postgresql_engine)
    worker = life.worker()
    job_id = life.submit()
    with ThreadPoolExecutor(1) as pool:
        with postgresql_engine.begin() as connection:
            mark_rung(connection, [Waiting(job_id, TENANT)])
            # when a worker that has heard the doorbell claims
            claim = pool.submit(life.claim, worker, job_id)
            with pytest.raises(TimeoutError):
                claim.result(0.3)
        # then it has the job once the mark is committed
        assert [job.id for job in claim.result(10)] == [job_id]


@pytest.mark.service
def test_two_dispatchers_ring_once_for_each_job(postgresql_engine: Engine) -> None:
    # given two dispatchers with brokers of their own, and sixty jobs
    life, together = Life(postgresql_engine), Barrier(2)
    life.worker(capacity=100)
    ids = [life.submit() for _ in range(60)]
    brokers = Broker(), Broker()

    def work(broker: Broker) -> None:
        dispatcher = Dispatcher(postgresql_engine, broker.ring, 30.0)
        together.wait(30)
        while dispatcher.round():
            pass

    # when they make their rounds at once
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, brokers))
    # then each job was rung for, once
    assert sorted(brokers[0].ids + brokers[1].ids) == sorted(ids)


def test_places_that_held_back_tenants_leave_are_filled_by_those_who_have_more(life: Life) -> None:
    # given a tenant with many jobs among ten whose jobs are all held back
    later = datetime.now(UTC) + timedelta(hours=1)
    for at in range(10):
        life.submit(f"held-{at}", not_before=later)
    busy = {life.submit("busy") for _ in range(30)}
    # when there is room for twenty
    # then the one that can run fills it
    found = wanted(life, 20)
    assert len(set(found)) == 20
    assert set(found) <= busy


def test_what_a_worker_still_has_in_its_ears_is_not_rung_for_again(
    life: Life, broker: Broker, dispatcher: Dispatcher
) -> None:
    # given two jobs that were rung for long ago: a worker has one in its ears and one was lost;
    # and one that was never rung for
    life.worker(capacity=2)
    heard, lost, unrung = life.submit(), life.submit(), life.submit(not_before=datetime.now(UTC) + timedelta(hours=1))
    dispatcher.round()
    for job_id in (heard, lost):
        life.set(job_id, rung_at=datetime.now(UTC) - timedelta(seconds=31))
    # when the worker says what it has, and the dispatcher looks for lost doorbells
    write(life.engine, still_heard, [heard, unrung])
    assert dispatcher.forget_lost() == 1
    dispatcher.round()
    # then only the lost one rings again, and nothing counts as rung for that was not
    assert broker.ids == [heard, lost, lost]
    assert life.row(unrung).rung_at is None


@pytest.mark.service
def test_saying_what_is_still_heard_waits_for_nobody(postgresql_engine: Engine) -> None:
    # given two jobs that were rung for, of which a claim in mid-transaction has one
    life = Life(postgresql_engine)
    worker = life.worker()
    claimed, waiting_ = life.submit(), life.submit()
    long_ago = datetime.now(UTC) - timedelta(seconds=31)
    for job_id in (claimed, waiting_):
        life.set(job_id, rung_at=long_ago)
    with postgresql_engine.begin() as connection:
        claim(connection, worker, [claimed])
        # when the worker says that it has both in its ears
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write, postgresql_engine, still_heard, [claimed, waiting_]).result(5)
    # then the other one was noted, and the claim is untouched
    assert life.row(waiting_).rung_at > long_ago
    assert (life.state(claimed), life.row(claimed).rung_at) == ("running", long_ago)


@pytest.mark.guard("dispatch: a lost doorbell is no work done")
def test_lost_doorbells_do_not_count_as_work_done(life: Life, dispatcher: Dispatcher) -> None:
    # given a window of jobs that were rung for and lost
    life.worker(capacity=4)
    for _ in range(50):
        life.submit()
    assert dispatcher.round() == 8
    for job_id in life.states():
        if life.row(job_id).rung_at is not None:
            life.set(job_id, rung_at=datetime.now(UTC) - timedelta(seconds=31))
    # when they are forgotten and rung for again
    assert dispatcher.forget_lost() == 8
    dispatcher.rates[STANDARD].at -= 1.0  # a second ago
    dispatcher.round()
    # then the queue is not taken for a quick one
    assert dispatcher.rates[STANDARD].per_s == 0.0


@pytest.mark.guard("dispatch: what waits is shared with who has nothing to do")
def test_what_waits_for_a_busy_worker_is_rung_for_again_once_another_has_long_had_nothing_to_do(
    life: Life, broker: Broker, dispatcher: Dispatcher
) -> None:
    # given a busy worker that has two jobs in its ears, and one with nothing to do
    busy = life.worker(capacity=2)
    for job_id in (first := [life.submit(), life.submit()]):
        assert life.claim(busy, job_id)
    waiting_ = [life.submit(), life.submit()]
    dispatcher.round()
    life.worker(capacity=2)
    for job_id in waiting_:
        life.set(job_id, rung_at=datetime.now(UTC) - timedelta(seconds=5))
    # when it has been so for a moment, then nothing happens
    assert dispatcher.share() == 0
    # and when it has been so for as long as a lost doorbell waits
    dispatcher.spare_since = {worker: since - 31 for worker, since in dispatcher.spare_since.items()}
    assert dispatcher.share() == 2
    dispatcher.round()
    # then they ring again, once
    assert broker.ids == waiting_ * 2
    assert dispatcher.share() == 0
    assert [life.state(job_id) for job_id in first] == ["running"] * 2


def test_busy_workers_are_left_what_they_have_heard(life: Life, dispatcher: Dispatcher) -> None:
    # given one worker, busy for long, with a job in its ears
    worker = life.worker(capacity=1)
    life.running(worker)
    waiting_ = life.submit()
    dispatcher.round()
    life.set(waiting_, rung_at=datetime.now(UTC) - timedelta(seconds=5))
    # when the dispatcher looks for one who could share, again and again
    for _ in range(3):
        assert dispatcher.share() == 0
        dispatcher.spare_since = {one: since - 31 for one, since in dispatcher.spare_since.items()}
    # then there is none
    assert dispatcher.spare_since == {}
