"""What must hold of a job's life, in plain Python: the small model that the storage is compared with.

Written from the design, not from the statements. Time is told in words: a job is held back or not, its deadline is
ahead or has passed, its doorbell rang now or long ago, a worker's lease holds or has lapsed. Each method says what a
step must do, and changes the model so.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from domain.jobs import LOSSES_TO_SUSPICION, REPLAYABLE, STRIKES_TO_DEATH, TRANSITIONS, JobState

HeadKey = tuple[str, str]


@dataclass
class ModelJob:
    """A job as it must be."""

    id: UUID
    tenant: str
    lane: str
    supersede_key: str | None = None
    deadline: str | None = None
    """`ahead` or `passed`"""
    held_back: bool = False
    state: JobState = JobState.QUEUED
    token: int = 0
    attempts: int = 0
    losses: int = 0
    strikes: int = 0
    suspect: bool = False
    asked: bool = False
    """to stop"""
    late: bool = False
    error: str | None = None
    rung: str | None = None
    """`now` or `long ago`"""
    worker: UUID | None = None
    told: list[str] = field(default_factory=lambda: ["job.queued"])
    result: tuple[int, int] | None = None
    """under which token, with how many findings"""

    def go(self, state: JobState, event: str | None = None) -> None:
        """Take a transition, and tell of it: an end by its own name, a start not at all."""
        assert state in TRANSITIONS[self.state], f"{self.id}: {self.state} -> {state}"
        self.state = state
        if event or state.ended:
            self.told.append(event or f"job.{state.value}")

    def to_the_queue(self, event: str, *, later: bool = False) -> None:
        """Wait again, for another doorbell."""
        self.go(JobState.QUEUED, event)
        self.rung, self.worker, self.held_back = None, None, later


@dataclass
class ModelWorker:
    """A worker's row as it must be."""

    id: UUID
    lanes: tuple[str, ...]
    lapsed: bool = False
    ended: bool = False

    @property
    def holds(self) -> bool:
        """Whether its lease holds."""
        return not self.lapsed and not self.ended


@dataclass
class Model:
    """All jobs, workers and heads as they must be."""

    jobs: dict[UUID, ModelJob] = field(default_factory=dict)
    workers: dict[UUID, ModelWorker] = field(default_factory=dict)
    heads: dict[HeadKey, UUID] = field(default_factory=dict)

    def counts(self) -> Counter[tuple[str, str, str]]:
        """Return how many jobs each tenant has in each lane and state."""
        return Counter((job.tenant, job.lane, job.state.value) for job in self.jobs.values())

    def of(self, ids: Iterable[UUID], state: JobState) -> list[ModelJob]:
        """Return those of the jobs that are in a state."""
        return [job for job in map(self.jobs.get, ids) if job is not None and job.state is state]

    def superseded(self, job: ModelJob) -> bool:
        """Whether a newer job has the same key."""
        return job.supersede_key is not None and self.heads[job.tenant, job.supersede_key] != job.id

    def submitted(self, job: ModelJob) -> None:
        """A new job: it takes the place of the one before, which ends if it waits."""
        self.jobs[job.id] = job
        if job.supersede_key is not None:
            before = self.heads.get((job.tenant, job.supersede_key))
            self.heads[job.tenant, job.supersede_key] = job.id
            for one in self.of([before] if before else [], JobState.QUEUED):
                one.go(JobState.SUPERSEDED)

    def served(self, lane: str) -> bool:
        """Whether a worker alive serves a lane."""
        return any(worker.holds and lane in worker.lanes for worker in self.workers.values())

    def wanting(self, lane: str) -> set[UUID]:
        """Return the jobs of a lane that a doorbell may ring for."""
        mine = (job for job in self.of(self.jobs, JobState.QUEUED) if job.lane == lane and self.served(lane))
        return {job.id for job in mine if not job.rung and not job.held_back and job.deadline != "passed"}

    def forgotten(self) -> int:
        """Doorbells that rang long ago, where a worker serves, are rung anew; return how many."""
        mine = [job for job in self.of(self.jobs, JobState.QUEUED) if job.rung == "long ago" and self.served(job.lane)]
        for job in mine:
            job.rung = None
        return len(mine)

    def claimed(self, worker: UUID, ids: Collection[UUID], *, suspects: bool) -> dict[UUID, int]:
        """Return which of the jobs a claim gets, and under which tokens."""
        if not self.workers[worker].holds:
            return {}
        got = {job.id: job for job in self.of(ids, JobState.QUEUED) if self._free(job) and job.suspect == suspects}
        for job in got.values():
            job.go(JobState.RUNNING)
            job.token, job.worker = job.token + 1, worker
        return {job.id: job.token for job in got.values()}

    def _free(self, job: ModelJob) -> bool:
        return not job.held_back and job.deadline != "passed" and not self.superseded(job)

    def committed(
        self, worker: UUID, job_id: UUID, token: int, state: JobState, *, findings: int, error: str | None, later: bool
    ) -> bool:
        """End a run, if it still holds the job; say whether it does."""
        job = self.jobs[job_id]
        if (job.state, job.token, job.worker) != (JobState.RUNNING, token, worker):
            return False
        if state is JobState.SUCCEEDED:
            self._succeed(job, findings)
        elif state is JobState.QUEUED and job.asked:
            job.go(JobState.CANCELLED)
        else:
            job.error, job.attempts = error, job.attempts + bool(error)
            if state is JobState.QUEUED:
                job.to_the_queue("job.retried", later=later)
            else:
                job.late = job.deadline == "passed"
                job.go(state)
        return True

    def _succeed(self, job: ModelJob, findings: int) -> None:
        if self.superseded(job):
            job.go(JobState.SUPERSEDED)
            return
        job.go(JobState.SUCCEEDED)
        job.late, job.suspect, job.error = job.deadline == "passed", False, None
        job.losses = job.strikes = 0
        job.result = (job.token, findings)

    def ended(self, worker: UUID, *, lost: bool, noted: Collection[UUID] = ()) -> int:
        """End a worker and give its jobs back, once; return how many. A note is kept even where it comes too late."""
        one = self.workers[worker]
        if one.ended:
            for job in self.of(noted, JobState.QUEUED) + self.of(noted, JobState.RUNNING):
                job.suspect = True
            return 0
        one.ended = True
        mine = [job for job in self.of(self.jobs, JobState.RUNNING) if job.worker == worker]
        for job in mine:
            self._give_back(job, lost=lost, noted=job.id in noted)
        return len(mine)

    def _give_back(self, job: ModelJob, *, lost: bool, noted: bool = False) -> None:
        if lost:
            job.strikes += job.suspect
            job.losses += not noted
        job.suspect = job.suspect or noted or job.losses >= LOSSES_TO_SUSPICION
        if job.asked:
            job.go(JobState.CANCELLED)
        elif job.strikes >= STRIKES_TO_DEATH:
            job.error = "struck_out"
            job.go(JobState.DEAD)
        else:
            job.to_the_queue("job.returned")

    def reaped(self) -> int:
        """End the workers whose lease has lapsed; return how many jobs came back."""
        lapsed = [worker.id for worker in self.workers.values() if worker.lapsed and not worker.ended]
        return sum(self.ended(worker, lost=True) for worker in lapsed)

    def disowned(self, ids: Iterable[UUID]) -> int:
        """Give back what a worker does not know that it runs; return how many."""
        mine = self.of(ids, JobState.RUNNING)
        for job in mine:
            self._give_back(job, lost=False)
        return len(mine)

    def cancelled(self, job: ModelJob) -> bool:
        """Cancel a job or ask it to stop; say whether that is allowed."""
        if job.state is JobState.QUEUED:
            job.asked = True
            job.go(JobState.CANCELLED)
        elif job.state is JobState.RUNNING:
            job.asked = True
        return job.state in {JobState.RUNNING, JobState.CANCELLED}

    def replayed(self, job: ModelJob) -> bool:
        """Start an ended job anew; say whether that is allowed."""
        if job.state not in REPLAYABLE or self.superseded(job):
            return False
        job.to_the_queue("job.replayed")
        job.attempts = job.losses = job.strikes = 0
        job.asked = job.late = False
        job.deadline = job.error = None
        return True

    def ended_without_a_run(self) -> int:
        """End what waits past its deadline, then what waits though a newer job took its place; return how many."""
        waiting = self.of(self.jobs, JobState.QUEUED)
        expired = [job for job in waiting if job.deadline == "passed"]
        for job in expired:
            job.go(JobState.EXPIRED)
        replaced = [job for job in self.of(self.jobs, JobState.QUEUED) if self.superseded(job)]
        for job in replaced:
            job.go(JobState.SUPERSEDED)
        return len(expired) + len(replaced)

    def to_stop(self) -> dict[UUID, str]:
        """Return which running jobs a checkpoint stops, and why."""
        running = self.of(self.jobs, JobState.RUNNING)
        superseded = {job.id: "superseded" for job in running if self.superseded(job)}
        return superseded | {job.id: "cancelled" for job in running if job.asked}
