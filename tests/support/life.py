"""Leading jobs through their life by the storage's own statements, for tests below process level."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, Table, func, select, update

from domain.applications import Finding
from domain.geometry import Box
from domain.jobs import JobState
from domain.requests import JobRequest
from storage import leases
from storage.claims import ClaimedJob, ModelCall, Outcome, claim, commit
from storage.clock import moment
from storage.session import read, write
from storage.submit import submit
from storage.tables import events, images, jobs, workers

TENANT = "acme"
SHA256 = "ab" * 32
QUEUES = ("inspection.interactive", "inspection.standard", "inspection.bulk")


@dataclass
class Life:
    """One database, and short ways to say what happens in it."""

    engine: Engine

    def own_image(self, tenant: str = TENANT, sha256: str = SHA256) -> str:
        """Let a tenant own an image, if it does not yet."""
        write(self.engine, _own_image, tenant, sha256)
        return sha256

    def submit(
        self, tenant: str = TENANT, *, key: str | None = None, limit: int = 1_000_000, **request: object
    ) -> UUID:
        """Submit an inspection of one image."""
        told = self.request(tenant, **request)
        return write(self.engine, submit, tenant, told, idempotency_key=key, backlog_limit=limit).job_id

    def request(self, tenant: str = TENANT, **request: object) -> JobRequest:
        """Return a request for an inspection of one image, which the tenant then owns."""
        return JobRequest.model_validate({"application": "inspection", "images": [self.own_image(tenant)], **request})

    def worker(self, *queues: str, lease_s: float = 60.0, capacity: int = 4) -> UUID:
        """Register a worker."""
        told: dict[str, Any] = {"name": "worker-0", "host": "here", "pid": 1, "capacity": capacity}
        return write(self.engine, leases.register, **told, queues=list(queues or QUEUES), lease_s=lease_s)

    def lapse(self, worker: UUID) -> None:
        """Let a worker's lease have run out a second ago."""
        self._set(workers, worker, lease_until=moment(-1))

    def claim(self, worker: UUID, *ids: UUID, suspects: bool = False) -> list[ClaimedJob]:
        """Claim jobs for a worker."""
        return write(self.engine, claim, worker, ids, suspects=suspects)

    def running(self, worker: UUID, **request: Any) -> ClaimedJob:
        """Submit a job and claim it."""
        [job] = self.claim(worker, self.submit(**request))
        return job

    def commit(self, worker: UUID, *outcomes: Outcome) -> set[UUID]:
        """Commit outcomes together."""
        return write(self.engine, commit, worker, outcomes)

    def end(self, worker: UUID, *, noted: Sequence[UUID] = (), lost: bool = True) -> int:
        """End a worker and give its jobs back."""
        return write(self.engine, leases.end, worker, leases.Ending("it died", lost=lost, noted=noted))

    def set(self, job_id: UUID, **values: Any) -> None:
        """Arrange a job's columns as a test needs them."""
        self._set(jobs, job_id, **values)

    def row(self, job_id: UUID) -> Row[Any]:
        """Return a job's row."""
        return read(self.engine, lambda connection: connection.execute(select(jobs).where(jobs.c.id == job_id)).one())

    def state(self, job_id: UUID) -> str:
        """Return a job's state."""
        return str(self.row(job_id).state)

    def states(self, tenant: str = TENANT) -> dict[UUID, JobState]:
        """Return the states of a tenant's jobs."""
        return read(self.engine, _states, tenant)

    def told(self, job_id: UUID) -> list[str]:
        """Return the types of a job's events, as they were written."""
        wanted = select(events.c.type).where(events.c.job_id == job_id).order_by(events.c.id)
        return read(self.engine, lambda connection: list(connection.execute(wanted).scalars()))

    def count(self, *tables: Table) -> tuple[int, ...]:
        """Return how many rows tables have."""
        return read(self.engine, _count, tables)

    def _set(self, table: Table, row: UUID, **values: Any) -> None:
        statement = update(table).where(table.c.id == row).values(**values)
        write(self.engine, lambda connection: connection.execute(statement))


def succeeded(job: ClaimedJob, findings: int = 1, **changes: Any) -> Outcome:
    """Return the outcome of a run that succeeded and found something."""
    box = Box(x0=1, y0=1, x1=5, y1=5)
    found = tuple(Finding(kind="pit", score=0.5, box=box) for _ in range(findings))
    call = ModelCall("detect", "drill", "1", "cpu", "none", "none/1", None, 1, 0.1, 0.2)
    told: dict[str, Any] = {"version": "1", "headline": "ACCEPT", "body": {"verdict": "ACCEPT"}}
    told |= {"pictures": ({"width": 8, "height": 8, "orientation": 1},), "findings": found, "calls": (call,)}
    return Outcome(job, JobState.SUCCEEDED, **{**told, **changes})


def failed(job: ClaimedJob, state: JobState = JobState.FAILED, delay_s: float = 0.0) -> Outcome:
    """Return the outcome of a run that ended in an error: an end, or `queued` for a retry."""
    return Outcome(job, state, error_code="model_error", error_message="it failed", delay_s=delay_s)


def _own_image(connection: Connection, tenant: str, sha256: str) -> None:
    same = (images.c.tenant == tenant, images.c.sha256 == sha256)
    if connection.execute(select(images.c.sha256).where(*same)).first() is None:
        told = {"tenant": tenant, "sha256": sha256, "media_type": "image/png", "bytes": 9, "width": 8, "height": 8}
        connection.execute(images.insert().values(**told, created_at=moment()))


def _states(connection: Connection, tenant: str) -> dict[UUID, JobState]:
    rows = connection.execute(select(jobs.c.id, jobs.c.state).where(jobs.c.tenant == tenant))
    return {row.id: JobState(row.state) for row in rows}


def _count(connection: Connection, tables: Sequence[Table]) -> tuple[int, ...]:
    return tuple(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)
