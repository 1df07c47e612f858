"""The one submit. HTTP and the Celery intake call it; nothing else makes a job.

The jobs table is its own outbox: a committed row with no `rung_at` is all that the dispatcher needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from uuid_utils.compat import uuid7

from domain.applications import application
from domain.errors import (
    BacklogFull,
    IdempotencyConflict,
    InvalidRequest,
    NotFound,
    SightlineError,
    Unavailable,
)
from domain.events import EventType
from domain.images import SEALED
from domain.jobs import JobState
from domain.requests import JobRequest
from storage.bell import notify
from storage.clock import Moment, moment
from storage.counters import Slot, backlog
from storage.facts import Change, changed
from storage.session import write
from storage.tables import heads, images, in_state, job_images, jobs

RETRY_AFTER_S = 5
"""What a producer is asked to wait when its backlog is full."""


@dataclass(frozen=True)
class Submitted:
    """An accepted job; `created` is false when the idempotency key had brought it before."""

    job_id: UUID
    created: bool


def submit(
    connection: Connection,
    tenant: str,
    request: JobRequest,
    *,
    idempotency_key: str | None = None,
    backlog_limit: int,
) -> Submitted:
    """Accept a job durably.

    Raises UnknownApplication, InvalidParameters, InvalidRequest, NotFound (an image that the tenant does not own),
    IdempotencyConflict and BacklogFull; nothing is stored then.
    """
    return _accept(connection, tenant, request, idempotency_key, backlog_limit - backlog(connection, tenant))


def _accept(
    connection: Connection, tenant: str, request: JobRequest, idempotency_key: str | None, room: int
) -> Submitted:
    earlier = _earlier(connection, tenant, request, idempotency_key)
    if earlier is not None:
        return earlier
    _check(connection, tenant, request)
    if room <= 0:
        raise BacklogFull(
            f"{tenant!r} has as many jobs waiting and running as its limit allows; try again when some have ended",
            retry_after_s=RETRY_AFTER_S,
        )
    job_id = uuid7()
    if not _insert(connection, job_id, tenant, request, idempotency_key):
        # Another submission with the same key committed between our look and our insert.
        again = _earlier(connection, tenant, request, idempotency_key)
        if again is None:
            raise Unavailable("the same idempotency key was submitted at this very moment; try again")
        return again
    if request.images:
        named = [{"job_id": job_id, "position": at, "sha256": sha256} for at, sha256 in enumerate(request.images)]
        connection.execute(insert(job_images), named)
    slot = Slot(tenant, request.application, request.lane.value, JobState.QUEUED.value)
    changed(connection, [Change(job_id, slot, None, EventType.QUEUED)])
    if request.supersede_key is not None:
        _take_the_head(connection, job_id, tenant, request.application, request.supersede_key)
    notify(connection)
    return Submitted(job_id, created=True)


def submit_many(
    engine: Engine,
    tenant: str,
    lines: Sequence[tuple[JobRequest | SightlineError, str | None]],
    *,
    backlog_limit: int,
) -> list[Submitted | SightlineError]:
    """Accept many jobs in one transaction; a line that cannot be accepted fails alone, and the rest still commits.

    A line is a request, or the error that parsing it gave, with its idempotency key.
    Raises StorageUnavailable or StorageFull where nothing of all this could be stored.
    """

    def all_of_them(connection: Connection) -> list[Submitted | SightlineError]:
        room = backlog_limit - backlog(connection, tenant)
        outcomes: list[Submitted | SightlineError] = []
        for request, key in lines:
            outcome = _one_of_many(connection, tenant, request, key, room)
            outcomes.append(outcome)
            room -= int(isinstance(outcome, Submitted) and outcome.created)
        return outcomes

    return write(engine, all_of_them)


def _one_of_many(
    connection: Connection, tenant: str, request: JobRequest | SightlineError, key: str | None, room: int
) -> Submitted | SightlineError:
    if isinstance(request, SightlineError):
        return request
    try:
        with connection.begin_nested():
            return _accept(connection, tenant, request, key, room)
    except SightlineError as error:
        return error


def _earlier(connection: Connection, tenant: str, request: JobRequest, key: str | None) -> Submitted | None:
    """Return the job that the same key brought before.

    Raises IdempotencyConflict where it came with another request.
    """
    if key is None:
        return None
    found = connection.execute(
        select(jobs.c.id, jobs.c.fingerprint).where(jobs.c.tenant == tenant, jobs.c.idempotency_key == key)
    ).first()
    if found is None:
        return None
    if found.fingerprint != request.fingerprint():
        raise IdempotencyConflict(
            f"the idempotency key {key!r} came before with another request (job {found.id}); use a new key",
            job_id=str(found.id),
        )
    return Submitted(found.id, created=False)


def _check(connection: Connection, tenant: str, request: JobRequest) -> None:
    """Raise where the application does not exist or cannot take these parameters and images."""
    wanted = application(request.application)
    parameters = wanted.parse(request.params)
    if not wanted.min_images <= len(request.images) <= wanted.max_images:
        raise InvalidRequest(
            f"{wanted.name} takes {wanted.min_images} to {wanted.max_images} images, not {len(request.images)}",
            problems=[{"field": "images", "problem": f"{len(request.images)} images"}],
        )
    parameters.check_images(len(request.images))
    # Originals of patient data are sealed, and go nowhere else: what was sent to be seen is no such original.
    sealed = images.c.media_type == SEALED if wanted.patient_data else images.c.media_type != SEALED
    owned = select(images.c.sha256).where(images.c.tenant == tenant, images.c.sha256.in_(request.images), sealed)
    # Locked until the commit, so that the sweep cannot take an image away between this look and the row that names it.
    missing = set(request.images) - set(connection.execute(owned.with_for_update(read=True)).scalars())
    if missing:
        how = "send it with the job itself" if wanted.patient_data else "send it first"
        raise NotFound(f"no image {min(missing)} of yours is stored; {how}", images=sorted(missing))
    if request.deadline and request.not_before and request.deadline <= request.not_before:
        raise InvalidRequest(f"the deadline {request.deadline} is not after not_before {request.not_before}")


def _insert(connection: Connection, job_id: UUID, tenant: str, request: JobRequest, key: str | None) -> bool:
    """Insert the row unless the idempotency key is taken; say whether it was inserted."""
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = (
        kind(jobs)
        .values(
            id=job_id,
            tenant=tenant,
            application=request.application,
            lane=request.lane.value,
            state=JobState.QUEUED.value,
            params=request.params,
            meta=request.metadata,
            fingerprint=request.fingerprint(),
            idempotency_key=key,
            supersede_key=request.supersede_key,
            created_at=moment(),
            ready_at=_ready_at(request.not_before),
            deadline=request.deadline,
        )
        .on_conflict_do_nothing(
            index_elements=[jobs.c.tenant, jobs.c.idempotency_key],
            index_where=jobs.c.idempotency_key.is_not(None),
        )
    )
    # By RETURNING: psycopg does not say how many rows an INSERT made.
    return connection.execute(statement.returning(jobs.c.id)).first() is not None


def _ready_at(not_before: datetime | None) -> ColumnElement[datetime]:
    return moment() if not_before is None else literal(not_before, Moment())


def _take_the_head(connection: Connection, job_id: UUID, tenant: str, name: str, key: str) -> None:
    """Become the newest job of the key, and end the one before if it still waits.

    One that runs is told by its next checkpoint or its commit. The upsert locks the head's row, so that of two
    submissions at once the second waits for the first and then sees it.
    """
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    fresh = kind(heads).values(tenant=tenant, application=name, key=key, job_id=job_id)
    index = [heads.c.tenant, heads.c.application, heads.c.key]
    taken = fresh.on_conflict_do_nothing(index_elements=index).returning(heads.c.job_id)
    if connection.execute(taken).first() is not None:
        return
    same = (heads.c.tenant == tenant, heads.c.application == name, heads.c.key == key)
    before = connection.execute(select(heads.c.job_id).where(*same).with_for_update()).scalar_one()
    connection.execute(update(heads).where(*same).values(job_id=job_id))
    ended = connection.execute(
        update(jobs)
        .where(jobs.c.id == before, in_state(JobState.QUEUED))
        .values(state=JobState.SUPERSEDED.value, ended_at=moment())
        .returning(jobs.c.lane)
    ).first()
    if ended is not None:
        slot = Slot(tenant, name, ended.lane, JobState.SUPERSEDED.value)
        changed(connection, [Change(before, slot, JobState.QUEUED, body={"by": str(job_id)})])
