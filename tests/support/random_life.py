"""A random life of jobs, for what must hold whatever happens: every step is one of the system's own statements."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from domain.errors import Conflict
from domain.jobs import JobState
from storage import jobs
from storage.claims import ClaimedJob, Outcome
from storage.leases import hand_back
from storage.reaping import end_superseded, expire
from storage.session import write
from tests.support.life import Life, failed, succeeded
from workers.reap import keep_house, reap

STEPS = (
    "submit",
    "submit",
    "supersede",
    "claim",
    "claim",
    "succeed",
    "fail",
    "retry",
    "stop",
    "cancel",
    "replay",
    "die",
    "lapse",
    "hand_back",
    "time_passes",
    "reap",
    "keep_house",
)


@dataclass
class RandomLife:
    """Takes steps by name; which job a step falls on is chance."""

    life: Life
    tenant: str
    random: Random
    worker: UUID | None = None
    held: list[tuple[UUID, ClaimedJob]] = field(default_factory=list)
    """claims and by whom, whether they still hold or not"""

    def step(self, name: str) -> None:
        """Take one step."""
        getattr(self, f"_{name}")()

    def _submit(self) -> None:
        lane = self.random.choice(["interactive", "standard", "bulk"])
        self.life.submit(self.tenant, lane=lane, key=self.random.choice([None, f"once-{lane}"]))

    def _supersede(self) -> None:
        self.life.submit(self.tenant, supersede_key=self.random.choice(["a", "b"]))

    def _claim(self) -> None:
        worker = self._alive()
        suspects = self.random.random() < 0.3
        self.held += [(worker, job) for job in self.life.claim(worker, *self._some(), suspects=suspects)]

    def _succeed(self) -> None:
        self._commit(lambda job: succeeded(job, findings=self.random.randrange(3)))

    def _fail(self) -> None:
        self._commit(lambda job: failed(job, self.random.choice([JobState.FAILED, JobState.DEAD])))

    def _retry(self) -> None:
        self._commit(lambda job: failed(job, JobState.QUEUED))

    def _stop(self) -> None:
        self._commit(lambda job: Outcome(job, self.random.choice([JobState.CANCELLED, JobState.SUPERSEDED])))

    def _cancel(self) -> None:
        self._ask(jobs.cancel)

    def _replay(self) -> None:
        self._ask(jobs.replay)

    def _die(self) -> None:
        if self.worker is not None:
            noted = [job.id for worker, job in self.held if worker == self.worker and self.random.random() < 0.5]
            self.life.end(self.worker, noted=noted, lost=self.random.random() < 0.8)
            self.worker = None

    def _lapse(self) -> None:
        if self.worker is not None:
            self.life.lapse(self.worker)
            self.worker = None

    def _hand_back(self) -> None:
        write(self.life.engine, hand_back, self._some())

    def _time_passes(self) -> None:
        """Let the deadlines of some jobs have passed."""
        for job_id in self._some():
            self.life.set(job_id, deadline=datetime.now(UTC) - timedelta(seconds=1))

    def _reap(self) -> None:
        reap(self.life.engine)
        write(self.life.engine, self.random.choice([expire, end_superseded]))

    def _keep_house(self) -> None:
        keep_house(self.life.engine)

    def _alive(self) -> UUID:
        if self.worker is None:
            self.worker = self.life.worker()
        return self.worker

    def _some(self) -> list[UUID]:
        ids = sorted(self.life.states(self.tenant))
        return self.random.sample(ids, min(len(ids), 3))

    def _commit(self, ends: Callable[[ClaimedJob], Outcome]) -> None:
        """Commit some runs of one worker, those that it lost among them."""
        if self.held:
            worker = self.random.choice(self.held)[0]
            mine = {job.id: job for other, job in self.held if other == worker}
            self.life.commit(worker, *(ends(job) for job in list(mine.values())[:2]))

    def _ask(self, change: Callable[..., object]) -> None:
        for job_id in self._some()[:1]:
            with suppress(Conflict):
                write(self.life.engine, change, self.tenant, job_id)
