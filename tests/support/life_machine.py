"""A machine that leads jobs through any life there may be, step by step against a real database and beside a model.

Its steps are the product's own statements, and the real dispatcher and the real ears of a worker; only the broker is a
list, so that messages can be lost, repeated, late and out of order. After every step the database must hold what the
model says (`life_model`), and at the end of every life nothing that waits may be unreachable.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import update

from domain.errors import IdempotencyConflict, TransitionRefused
from domain.jobs import JobState
from domain.requests import JobRequest
from storage import feed, leases
from storage import jobs as asked
from storage.claims import ClaimedJob, Outcome, hearable
from storage.clock import moment
from storage.dispatching import still_heard
from storage.jobs import superseded_or_cancelled
from storage.session import read, write
from storage.submit import submit
from storage.tables import workers
from tests.support.life import SHA256, Life, failed, succeeded
from tests.support.life_model import Model, ModelJob, ModelWorker
from tests.support.life_seen import Seen, differences, look, wipe
from workers.dispatch import Dispatcher
from workers.hearing import Ears
from workers.reap import end_what_cannot_run, keep_house, reap

TENANTS = ("acme", "beta")
LANES = ("interactive", "standard")
AHEAD = datetime(2200, 1, 1, tzinfo=UTC)
LATER = datetime(2199, 1, 1, tzinfo=UTC)
RERING_S = 30.0
LONG_S = 100.0
MOST_WORKERS = 3
CAPACITY = 20
"""So large that the window always has room: which of many are rung for goes by the clock, and is tested elsewhere."""
DAY_S = 86_400.0

index = st.integers(0, 5)
kinds = st.sampled_from([*["succeeded"] * 4, "failed", "dead", "retry", "retry later", "cancelled", "superseded"])


class BrokerRefuses(Exception):
    """The broker did not take a message."""


@dataclass
class Process:
    """A worker process: what it has heard, and what it believes it runs."""

    worker: UUID
    queues: tuple[str, ...]
    ears: Ears = field(default_factory=Ears)
    runs: dict[UUID, ClaimedJob] = field(default_factory=dict)


class LifeMachine(RuleBasedStateMachine):
    """Any life of jobs. Each life starts with an empty database."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.life, self.engine = life, life.engine
        wipe(self.engine)
        self.model = Model()
        self.processes: list[Process] = []
        self.dead: list[Process] = []
        """those that were killed: they say no more, and their notes may still be read"""
        self.claims: list[tuple[UUID, ClaimedJob]] = []
        """every claim there ever was, and by whom"""
        self.keys: dict[tuple[str, str], tuple[UUID, JobRequest]] = {}
        self.messages: list[tuple[str, list[UUID]]] = []
        self.published: set[UUID] = set()
        self.meanwhile: Callable[[], None] | None = None
        self.refusing = False
        self.dispatchers = [Dispatcher(self.engine, self._publish, RERING_S) for _ in range(2)]
        self.places: dict[int, int] = {}
        """each event that has its place in the feed"""
        self.readers = dict.fromkeys(TENANTS, 0)
        self.read: dict[str, list[feed.FeedEvent]] = {tenant: [] for tenant in TENANTS}
        for tenant in TENANTS:
            life.own_image(tenant)

    # -- what people and upstream systems do ------------------------------------------------------------------------

    @initialize()
    def begins(self) -> None:
        for _ in range(2):
            self._register(LANES)
        self._submit("acme", "standard")
        self._submit("acme", "standard", supersede_key="s", deadline=AHEAD)
        self._claim(self.processes[0], [self._job(0).id], suspects=False)

    @rule(
        tenant=st.sampled_from([TENANTS[0], *TENANTS]),
        lane=st.sampled_from(LANES),
        key=st.sampled_from([None, None, "k", "l"]),
        supersede=st.sampled_from([None, "s"]),
        deadline=st.booleans(),
        later=st.sampled_from([False, False, False, True]),
    )
    def submits(
        self, tenant: str, lane: str, key: str | None, supersede: str | None, deadline: bool, later: bool
    ) -> None:
        told: dict[str, Any] = {"deadline": AHEAD} if deadline else {}
        if later:
            told["not_before"] = LATER
        self._submit(tenant, lane, key=key, supersede_key=supersede, **told)

    def _submit(self, tenant: str, lane: str, *, key: str | None = None, **told: Any) -> None:
        request = JobRequest(application="inspection", images=(SHA256,), lane=lane, **told)
        before = self.keys.get((tenant, key)) if key else None
        try:
            done = write(self.engine, submit, tenant, request, idempotency_key=key, backlog_limit=1000)
        except IdempotencyConflict:
            assert before is not None, "a key that never came is in conflict"
            assert before[1] != request, "the same request is in conflict with itself"
            return
        if before is not None:
            assert (done.job_id, done.created, request) == (before[0], False, before[1])
            return
        assert done.created
        if key:
            self.keys[tenant, key] = done.job_id, request
        due, held_back = "ahead" if request.deadline else None, request.not_before is not None
        self.model.submitted(
            ModelJob(done.job_id, tenant, lane, request.supersede_key, deadline=due, held_back=held_back)
        )

    @rule(at=index)
    def cancels(self, at: int) -> None:
        job = self._job(at)
        assert self._asks(asked.cancel, job) == self.model.cancelled(job)

    @rule(at=index)
    def replays(self, at: int) -> None:
        job = self._job(at)
        assert self._asks(asked.replay, job) == self.model.replayed(job)

    def _asks(self, change: Callable[..., object], job: ModelJob) -> bool:
        try:
            write(self.engine, change, job.tenant, job.id)
        except TransitionRefused:
            return False
        return True

    # -- the dispatcher and the broker ------------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 1),
        meanwhile=st.sampled_from(["", "", "", "it is claimed", "another dispatcher rings", "it stands still"]),
    )
    def rings(self, which: int, meanwhile: str) -> None:
        wanting = {job_id for lane in LANES for job_id in self.model.wanting(lane)}
        happening = {"it is claimed": self._is_claimed, "another dispatcher rings": self._other_rings(which)}
        happening["it stands still"] = self._other_rings(which, then_still=True)
        self.meanwhile = happening.get(meanwhile)
        self._round(which)
        assert self.published == wanting, "each that may run, and no other"
        assert not any(map(self.model.wanting, LANES)), "published, and neither marked nor claimed"

    @rule(which=st.integers(0, 1))
    def broker_refuses(self, which: int) -> None:
        self.refusing = True
        with suppress(BrokerRefuses):
            self._round(which)
        assert not self.published
        self.refusing = False

    def _round(self, which: int) -> None:
        self.published = set()
        self.dispatchers[which].round()
        self.meanwhile = None
        self._see_what_was_rung()

    def _see_what_was_rung(self) -> None:
        """Take in which doorbells were marked: of two dispatchers at once, either may have been the first."""
        for job in look(self.engine).jobs.values():
            mine = self.model.jobs[job.id]
            if job.rung and not mine.rung and mine.state is JobState.QUEUED:
                assert job.id in self.published, "marked as rung, and never published"
                assert job.id in self.model.wanting(mine.lane), "rung for, and it may not run"
                mine.rung = "now"

    def _publish(self, queue: str, ids: Sequence[UUID]) -> None:
        if self.refusing:
            raise BrokerRefuses(queue)
        self.messages.append((queue, list(ids)))
        self.published |= set(ids)
        then, self.meanwhile = self.meanwhile, None
        if then:
            then()

    def _is_claimed(self) -> None:
        """A worker is faster than the dispatcher's mark."""
        for process in self.processes[:1]:
            self._claim(process, self.messages[-1][1], suspects=False)

    def _other_rings(self, which: int, *, then_still: bool = False) -> Callable[[], None]:
        def meanwhile() -> None:
            self.dispatchers[1 - which].round()
            self._see_what_was_rung()
            if then_still:
                self._age(job for job in self.model.of(self.model.jobs, JobState.QUEUED) if job.rung)

        return meanwhile

    @precondition(lambda self: self.messages)
    @rule(at=index)
    def message_is_lost(self, at: int) -> None:
        self.messages.pop(at % len(self.messages))

    @precondition(lambda self: self.messages and self.processes)
    @rule(at=index, by=index, again=st.booleans())
    def hears(self, at: int, by: int, again: bool) -> None:
        """A message comes, in any order; it may come again."""
        queue, ids = self.messages[at % len(self.messages)]
        process = self._process(by)
        if queue not in process.queues:
            return
        if not again:
            self.messages.pop(at % len(self.messages))
        heard = read(self.engine, hearable, ids)
        waiting = self.model.of(ids, JobState.QUEUED)
        assert {(row[0], row[3]) for row in heard} == {(job.id, job.suspect) for job in waiting}
        # In whole days: by microseconds, a life that is led again would take another turn.
        due = [None if row[4] is None else DAY_S * round(row[4] / DAY_S) for row in heard]
        process.ears.hear((row[0], *row[2:4], days, *row[5:]) for row, days in zip(heard, due, strict=True))

    @precondition(lambda self: any(process.ears for process in self.processes))
    @rule(by=index)
    def says_what_it_still_hears(self, by: int) -> None:
        ids = self._process(by).ears.here_for(0)
        write(self.engine, still_heard, ids)
        for job in self.model.of(ids, JobState.QUEUED):
            job.rung = job.rung and "now"

    @rule()
    def doorbells_go_unanswered(self) -> None:
        self._age(job for job in self.model.of(self.model.jobs, JobState.QUEUED) if job.rung)
        assert self.dispatchers[0].forget_lost() == self.model.forgotten()

    def _age(self, rung: Any) -> None:
        for job in list(rung):
            self.life.set(job.id, rung_at=moment(-LONG_S))
            job.rung = "long ago"

    # -- what a worker does -----------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.processes) < MOST_WORKERS)
    @rule(lanes=st.sampled_from([LANES, LANES[1:]]))
    def registers(self, lanes: tuple[str, ...]) -> None:
        self._register(lanes)

    def _register(self, lanes: tuple[str, ...]) -> Process:
        queues = tuple(f"inspection.{lane}" for lane in lanes)
        worker = self.life.worker(*queues, capacity=CAPACITY)
        self.model.workers[worker] = ModelWorker(worker, lanes)
        self.processes.append(Process(worker, queues))
        return self.processes[-1]

    @precondition(lambda self: any(process.ears for process in self.processes))
    @rule(by=index, room=st.integers(1, 3), answered=st.sampled_from([True, True, True, False]))
    def claims_what_it_heard(self, by: int, room: int, answered: bool) -> None:
        listening = [process for process in self.processes if process.ears]
        process = listening[by % len(listening)]
        if any(job.suspect for job in process.runs.values()):
            return
        heard = process.ears.take(room, 0)
        suspects = bool(heard) and heard[0].suspect
        if suspects and process.runs:
            process.ears.put_back(heard)
        else:
            self._claim(process, [one.id for one in heard], suspects=suspects, answered=answered)

    @precondition(lambda self: self.processes)
    @rule(by=index, at=st.lists(index, min_size=1, max_size=3), suspects=st.booleans())
    def claims_what_it_never_heard(self, by: int, at: list[int], suspects: bool) -> None:
        """Forged, stale and repeated ids."""
        self._claim(self._process(by), [self._job(one).id for one in at], suspects=suspects)

    def _claim(self, process: Process, ids: Sequence[UUID], *, suspects: bool, answered: bool = True) -> None:
        got = self.life.claim(process.worker, *ids, suspects=suspects)
        assert {job.id: job.token for job in got} == self.model.claimed(process.worker, ids, suspects=suspects)
        assert all(got.token > old.token for got in got for _, old in self.claims if old.id == got.id), "a token twice"
        self.claims += [(process.worker, job) for job in got]
        if answered:
            process.runs |= {job.id: job for job in got}

    @precondition(lambda self: any(process.runs for process in self.processes))
    @rule(by=index, ends=st.lists(kinds, min_size=1, max_size=3))
    def commits(self, by: int, ends: list[str]) -> None:
        """Commit what finished, together."""
        busy = [process for process in self.processes if process.runs]
        process = busy[by % len(busy)]
        finished = list(process.runs.values())[: len(ends)]
        for job in finished:
            del process.runs[job.id]
        self._commit(process.worker, list(zip(finished, ends, strict=False)))

    @precondition(lambda self: any(process.runs for process in self.processes))
    @rule(by=index, late=st.none() | kinds)
    def tries_again_at_once(self, by: int, late: str | None) -> None:
        """A run ends in an error, the same worker is the first to hear of the job again, and then commits a repeat."""
        busy = [process for process in self.processes if process.runs]
        process = busy[by % len(busy)]
        job = process.runs.pop(next(iter(process.runs)))
        self._commit(process.worker, [(job, "retry")])
        self._claim(process, [job.id], suspects=self.model.jobs[job.id].suspect)
        if late is not None:
            self._commit(process.worker, [(job, late)])

    @precondition(lambda self: self._keyed_runs())
    @rule(at=index, end=st.none() | kinds)
    def is_superseded_while_it_runs(self, at: int, end: str | None) -> None:
        """A newer job comes, and then the run ends before a checkpoint has told it."""
        runs = self._keyed_runs()
        worker, claimed = runs[at % len(runs)]
        job = self.model.jobs[claimed.id]
        self._submit(job.tenant, job.lane, supersede_key=job.supersede_key)
        if end is not None:
            self._commit(worker, [(claimed, end)])

    def _keyed_runs(self) -> list[tuple[UUID, ClaimedJob]]:
        keyed = {job.id: job.token for job in self.model.of(self.model.jobs, JobState.RUNNING) if job.supersede_key}
        return [(worker, job) for worker, job in self.claims if keyed.get(job.id) == job.token]

    @precondition(lambda self: self.claims)
    @rule(at=index, end=kinds)
    def commits_again(self, at: int, end: str) -> None:
        """Commit what was committed before, or was taken away; the newest runs first."""
        worker, job = self.claims[-1 - at % len(self.claims)]
        self._commit(worker, [(job, end)])

    @precondition(lambda self: self._fenced())
    @rule(at=index, end=kinds)
    def commits_when_another_run_has_begun(self, at: int, end: str) -> None:
        fenced = self._fenced()
        worker, job = fenced[-1 - at % len(fenced)]
        self._commit(worker, [(job, end)])

    def _fenced(self) -> list[tuple[UUID, ClaimedJob]]:
        """Return the earlier claims of jobs that run."""
        running = {job.id: job.token for job in self.model.of(self.model.jobs, JobState.RUNNING)}
        return [(worker, job) for worker, job in self.claims if running.get(job.id, job.token) != job.token]

    @precondition(lambda self: len(self.processes) > 1 and any(process.runs for process in self.processes))
    @rule(by=index, end=kinds)
    def commits_under_a_lease_that_is_not_its_own(self, by: int, end: str) -> None:
        """As a process would that committed, under its new lease, what it ran under the one that lapsed."""
        busy = [process for process in self.processes if process.runs]
        process = busy[by % len(busy)]
        other = next(one for one in self.processes if one is not process)
        self._commit(other.worker, [(next(iter(process.runs.values())), end)])

    def _commit(self, worker: UUID, ended: list[tuple[ClaimedJob, str]]) -> None:
        outcomes = [_outcome(job, end, findings=at) for at, (job, end) in enumerate(ended)]
        held = self.life.commit(worker, *outcomes)
        must = set()
        for outcome, (_, end) in zip(outcomes, ended, strict=True):
            found, later = len(outcome.findings), end == "retry later"
            told = {"findings": found, "error": outcome.error_code, "later": later}
            if self.model.committed(worker, outcome.job.id, outcome.job.token, outcome.state, **told):
                must.add(outcome.job.id)
        assert held == must

    @rule(at=st.lists(index, min_size=1, max_size=4))
    def checkpoints(self, at: list[int]) -> None:
        ids = [self._job(one).id for one in at]
        stop = {job_id: why for job_id, why in self.model.to_stop().items() if job_id in ids}
        assert read(self.engine, superseded_or_cancelled, ids) == stop

    @precondition(lambda self: self.model.workers)
    @rule(at=index)
    def renews(self, at: int) -> None:
        worker = self._worker(at)
        assert write(self.engine, leases.renew, worker.id, 60.0) == worker.holds

    @precondition(lambda self: self.processes)
    @rule(by=index)
    def disowns_what_it_does_not_know(self, by: int) -> None:
        process = self._process(by)
        mine = [job.id for job in self.model.of(self.model.jobs, JobState.RUNNING) if job.worker == process.worker]
        unknown = [job_id for job_id in mine if job_id not in process.runs]
        for job_id in unknown:
            self.life.set(job_id, started_at=moment(-LONG_S))
        given_back = write(self.engine, leases.disown, process.worker, list(process.runs), 60.0)
        assert given_back == self.model.disowned(unknown)

    # -- how a worker ends ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.processes)
    @rule(by=index)
    def drains(self, by: int) -> None:
        """It hands back what it heard and what did not end in time."""
        process = self._process(by)
        heard = process.ears.close()
        write(self.engine, leases.hand_back, heard)
        for job in self.model.of(heard, JobState.QUEUED):
            job.rung = None
        assert self.life.end(process.worker, lost=False) == self.model.ended(process.worker, lost=False)
        self.processes.remove(process)

    @precondition(lambda self: self.processes)
    @rule(by=index, noticed=st.booleans(), noted=st.none() | st.integers(0, 7))
    def is_killed(self, by: int, noticed: bool, noted: int | None) -> None:
        """Noticed by the reaper, by its successor, by both in this order, or by nobody yet."""
        busy = [process for process in self.processes if process.runs] or self.processes
        process = busy[by % len(busy)]
        self.processes.remove(process)
        if noticed:
            self.life.lapse(process.worker)
            self.model.workers[process.worker].lapsed = True
            self.reaps()
        if noted is None:
            self.dead.append(process)
        else:
            self._bury(process, noted)

    @precondition(lambda self: self.dead)
    @rule(at=index, noted=st.integers(0, 7))
    def successor_buries_it(self, at: int, noted: int) -> None:
        """Long afterwards: its notes count all the same."""
        self._bury(self.dead.pop(at % len(self.dead)), noted)

    def _bury(self, process: Process, noted: int) -> None:
        notes = [job_id for bit, job_id in enumerate(process.runs) if noted >> bit & 1]
        given_back = self.model.ended(process.worker, lost=True, noted=notes)
        assert self.life.end(process.worker, noted=notes) == given_back

    @precondition(lambda self: any(worker.holds for worker in self.model.workers.values()))
    @rule(at=index)
    def lease_lapses(self, at: int) -> None:
        holding = [worker for worker in self.model.workers.values() if worker.holds]
        worker = holding[at % len(holding)]
        self.life.lapse(worker.id)
        worker.lapsed = True

    @rule()
    def reaps(self) -> None:
        assert reap(self.engine) == self.model.reaped()

    @precondition(lambda self: any(worker.holds for worker in self.model.workers.values()))
    @rule(at=index)
    def renews_while_the_reaper_looks(self, at: int) -> None:
        """The lease looks lapsed to the reaper, while a renewal that was in time is not committed yet."""
        holding = [worker for worker in self.model.workers.values() if worker.holds]
        worker = holding[at % len(holding)]
        self.life.lapse(worker.id)
        with self.engine.begin() as renewing:
            in_time = update(workers).where(workers.c.id == worker.id).values(lease_until=moment(60))
            renewing.execute(in_time)
            lapsed = read(self.engine, leases.lapsed)
        assert worker.id in lapsed
        end_it = leases.Ending("its lease lapsed")
        assert write(self.engine, leases.end, worker.id, end_it, only_lapsed=True) == 0

    @rule()
    def ends_what_cannot_run(self) -> None:
        assert end_what_cannot_run(self.engine) == self.model.ended_without_a_run()

    # -- time, and housekeeping -------------------------------------------------------------------------------------

    @precondition(lambda self: any(job.deadline == "ahead" for job in self.model.jobs.values()))
    @rule(at=index)
    def deadline_passes(self, at: int) -> None:
        due = [job for job in self.model.jobs.values() if job.deadline == "ahead"]
        job = due[at % len(due)]
        self.life.set(job.id, deadline=moment(-1))
        job.deadline = "passed"

    @precondition(lambda self: any(job.held_back for job in self.model.jobs.values()))
    @rule(at=index)
    def its_time_comes(self, at: int) -> None:
        held_back = [job for job in self.model.jobs.values() if job.held_back]
        self._ripen(held_back[at % len(held_back)])

    def _ripen(self, job: ModelJob) -> None:
        self.life.set(job.id, ready_at=moment())
        job.held_back = False

    @rule()
    def keeps_house(self) -> None:
        while keep_house(self.engine):
            pass
        seen = look(self.engine)
        assert not seen.unfolded
        assert +seen.folded == +self.model.counts(), "the counters equal the rows once folded"
        assert all(seen.feed.values()), "every event has its place"

    @rule(tenant=st.sampled_from(TENANTS), most=st.integers(1, 20))
    def reads_the_feed(self, tenant: str, most: int) -> None:
        events = read(self.engine, feed.after, tenant, self.readers[tenant], most)
        self.read[tenant] += events
        self.readers[tenant] = events[-1].feed_id if events else self.readers[tenant]

    # -- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def database_and_model_agree(self) -> None:
        seen = look(self.engine)
        wrong = differences(self.model, seen)
        assert not wrong, "\n".join(wrong)
        self._check_places(seen)

    def _check_places(self, seen: Seen) -> None:
        numbered = {event: place for event, place in seen.feed.items() if place is not None}
        assert self.places.items() <= numbered.items(), "an event has left its place in the feed"
        fresh = sorted(numbered.keys() - self.places.keys())
        last = max(self.places.values(), default=0)
        assert [numbered[event] for event in fresh] == list(range(last + 1, last + 1 + len(fresh)))
        self.places = numbered

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:  # what failed already is told as it is
            self._all_that_waits_is_reached()
            self._every_event_was_read_once()

    def _all_that_waits_is_reached(self) -> None:
        """Let all stand still but one fresh worker and one fresh dispatcher: two rounds, and every job has ended."""
        for worker in self.model.workers.values():
            if worker.holds:
                self.life.lapse(worker.id)
                worker.lapsed = True
        self.processes, self.messages = [], []
        process = self._register(LANES)
        for job in self.model.jobs.values():
            if job.held_back:
                self._ripen(job)
        for _ in range(2):
            self.reaps()
            self.ends_what_cannot_run()
            self.doorbells_go_unanswered()
            self._round(0)
            self._claims_and_commits_all(process)
        self.keeps_house()
        self.database_and_model_agree()
        waiting = [job for job in self.model.jobs.values() if not job.state.ended]
        assert not waiting, "nobody rings for it, nobody runs it"

    def _claims_and_commits_all(self, process: Process) -> None:
        while self.messages:
            self.hears(0, 0, again=False)
        while process.ears:
            self.claims_what_it_heard(0, 3, answered=True)
            if process.runs:
                self.commits(0, ["succeeded"] * 3)

    def _every_event_was_read_once(self) -> None:
        for tenant in TENANTS:
            self.reads_the_feed(tenant, 1000)
            told: dict[UUID, list[str]] = {job.id: [] for job in self.model.jobs.values() if job.tenant == tenant}
            for event in self.read[tenant]:
                assert event.job_id is not None
                told[event.job_id].append(event.type)
            assert told == {job_id: self.model.jobs[job_id].told for job_id in told}

    # -- who and what -----------------------------------------------------------------------------------------------

    def _job(self, at: int) -> ModelJob:
        """Return one of the newest jobs."""
        found = list(self.model.jobs.values())
        return found[-1 - at % len(found)]

    def _process(self, at: int) -> Process:
        return self.processes[at % len(self.processes)]

    def _worker(self, at: int) -> ModelWorker:
        found = list(self.model.workers.values())
        return found[at % len(found)]


def _outcome(job: ClaimedJob, end: str, *, findings: int) -> Outcome:
    match end:
        case "succeeded":
            return succeeded(job, findings=findings)
        case "failed" | "dead":
            return failed(job, JobState(end))
        case "retry" | "retry later":
            return failed(job, JobState.QUEUED, delay_s=3600.0 if end == "retry later" else 0.0)
        case _:
            return Outcome(job, JobState(end))
