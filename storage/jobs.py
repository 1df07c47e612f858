"""Reading jobs and results, and the changes that people ask for: cancel and replay."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Row, null, select, update

from domain.errors import Forbidden, NotFound, TransitionRefused
from domain.events import EventType
from domain.jobs import REPLAYABLE, JobState
from domain.reviews import ReviewState
from storage.bell import notify
from storage.clock import moment
from storage.counters import Slot
from storage.facts import Change, changed
from storage.heads import superseded
from storage.results import Version, versions_of
from storage.review_tables import result_versions, reviews
from storage.reviews import withdraw
from storage.tables import heads, in_state, job_images, jobs, model_calls, results

MAX_PAGE = 500


class JobError(BaseModel):
    """Why a job did not succeed."""

    code: str
    message: str


class JobView(BaseModel):
    """A job as its tenant sees it."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    tenant: str
    application: str
    lane: str
    state: JobState
    attempts: int
    created_at: datetime
    ready_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    deadline: datetime | None
    late: bool
    cancel_requested: bool
    suspect: bool
    strikes: int
    idempotency_key: str | None
    supersede_key: str | None
    params: dict[str, Any]
    metadata: dict[str, Any]
    images: list[str]
    headline: str | None
    """of the newest version of its result; None of one that is for few eyes"""
    review: ReviewState | None
    """of its newest review item, where people were asked; None of one that is for few eyes"""
    restricted: bool
    """whether its result and pictures are for keys with the scope `restricted` alone"""
    error: JobError | None


class ModelCallView(BaseModel):
    """Which model answered a call, and how."""

    capability: str
    model: str
    revision: str
    device: str
    dtype: str
    preprocessing: str
    prompt: str | None
    batch_size: int
    waited_ms: float
    ran_ms: float
    scores: str
    """what the answer's scores are: `softmax` (shares), `sigmoid` (each by itself), `mean`, ...: see docs/models.md"""
    remarks: dict[str, Any]
    """what a reader should know besides: boxes that were dropped, a text that was cut"""


class ResultView(BaseModel):
    """What a job answered, and where the answer came from."""

    job_id: UUID
    application: str
    version: str
    headline: str
    created_at: datetime
    body: dict[str, Any]
    pictures: list[dict[str, int]]
    """width, height and undone EXIF orientation of each image, as the models saw it"""
    model_calls: list[ModelCallView]
    corrections: int
    """how many versions of it people have made since; see /v1/jobs/{id}/versions"""


def get(connection: Connection, tenant: str, job_id: UUID) -> JobView:
    """Return a job of the tenant.

    Raises NotFound.
    """
    return _views(connection, [_row(connection, tenant, job_id)])[0]


def latest(
    connection: Connection,
    tenant: str,
    *,
    application: str | None = None,
    state: JobState | None = None,
    lane: str | None = None,
    idempotency_key: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[JobView]:
    """Return the tenant's jobs that fit, newest first, at most `limit`; `before` is the last id of the page before."""
    wanted = select(jobs).where(jobs.c.tenant == tenant).order_by(jobs.c.id.desc()).limit(min(limit, MAX_PAGE))
    for column, value in (
        (jobs.c.application, application),
        (jobs.c.state, state and state.value),
        (jobs.c.lane, lane),
        (jobs.c.idempotency_key, idempotency_key),
    ):
        if value is not None:
            wanted = wanted.where(column == value)
    if before is not None:
        wanted = wanted.where(jobs.c.id < before)
    return _views(connection, connection.execute(wanted).all())


def result(connection: Connection, tenant: str, job_id: UUID, *, restricted: bool = False) -> ResultView:
    """Return what a job answered; `restricted` says whether the caller may see what is for few eyes.

    Raises NotFound, Forbidden, and TransitionRefused where the job did not succeed (or not yet).
    """
    job = _seen(connection, tenant, job_id, restricted)
    found = connection.execute(select(results).where(results.c.job_id == job_id)).first()
    if found is None:
        raise TransitionRefused(f"job {job_id} is {job.state} and has no result", state=job.state)
    calls = select(model_calls).where(model_calls.c.job_id == job_id).order_by(model_calls.c.position)
    return ResultView(
        job_id=job_id,
        application=job.application,
        version=found.version,
        headline=found.headline,
        created_at=found.created_at,
        body=found.body,
        pictures=found.pictures,
        model_calls=[ModelCallView.model_validate(call._mapping) for call in connection.execute(calls)],
        corrections=len(versions_of(connection, job_id)) - 1,
    )


def versions(connection: Connection, tenant: str, job_id: UUID, *, restricted: bool = False) -> list[Version]:
    """Return all versions of a job's result, the machine's first. Raises as `result` does."""
    job = _seen(connection, tenant, job_id, restricted)
    found = versions_of(connection, job_id)
    if not found:
        raise TransitionRefused(f"job {job_id} is {job.state} and has no result", state=job.state)
    return found


def cancel(connection: Connection, tenant: str, job_id: UUID) -> JobView:
    """End a waiting job, or ask a running one to stop at its next checkpoint. Asking twice changes nothing.

    Raises NotFound, and TransitionRefused where the job ended otherwise.
    """
    job = _row(connection, tenant, job_id, lock=True)
    mine = update(jobs).where(jobs.c.id == job_id)
    if job.state == JobState.QUEUED:
        connection.execute(mine.values(state=JobState.CANCELLED.value, cancel_requested=True, ended_at=moment()))
        slot = Slot(tenant, job.application, job.lane, JobState.CANCELLED.value)
        changed(connection, [Change(job_id, slot, JobState.QUEUED)])
        notify(connection)
    elif job.state == JobState.RUNNING:
        connection.execute(mine.values(cancel_requested=True))
    elif job.state != JobState.CANCELLED:
        raise TransitionRefused(
            f"job {job_id} is {job.state}; only a waiting or running job is cancelled", state=job.state
        )
    return get(connection, tenant, job_id)


def replay(connection: Connection, tenant: str, job_id: UUID) -> JobView:
    """Start an ended job anew, with fresh attempts. Its strikes are forgiven; a suspect runs alone until it succeeds.

    Raises NotFound, and TransitionRefused where the job waits, runs, succeeded, or a newer one took its place.
    """
    job = _row(connection, tenant, job_id, lock=True)
    state = JobState(job.state)
    if state not in REPLAYABLE:
        raise TransitionRefused(f"job {job_id} is {state.value}; it cannot be replayed", state=state.value)
    head = _head(connection, job) if job.supersede_key is not None else job_id
    if head != job_id:
        raise TransitionRefused(f"job {job_id} has been superseded by {head}", state=state.value)
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            state=JobState.QUEUED.value,
            ready_at=moment(),
            rung_at=null(),
            started_at=null(),
            ended_at=null(),
            worker=null(),
            attempts=0,
            losses=0,
            strikes=0,
            cancel_requested=False,
            late=False,
            deadline=null(),
            error_code=null(),
            error_message=null(),
        )
    )
    withdraw(connection, job_id)
    slot = Slot(tenant, job.application, job.lane, JobState.QUEUED.value)
    changed(connection, [Change(job_id, slot, state, EventType.REPLAYED)])
    notify(connection)
    return get(connection, tenant, job_id)


def ended(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Return which of the jobs have ended."""
    rows = connection.execute(select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(ids)))
    return {row.id for row in rows if JobState(row.state).ended}


def superseded_or_cancelled(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Say which of the running jobs should stop: `cancelled` or `superseded`."""
    rows = connection.execute(
        select(jobs.c.id, jobs.c.cancel_requested).where(
            jobs.c.id.in_(ids), in_state(JobState.RUNNING), jobs.c.cancel_requested | superseded()
        )
    )
    return {row.id: "cancelled" if row.cancel_requested else "superseded" for row in rows}


def _row(connection: Connection, tenant: str, job_id: UUID, *, lock: bool = False) -> Row[Any]:
    wanted = select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant)
    row = connection.execute(wanted.with_for_update() if lock else wanted).first()
    if row is None:
        raise NotFound(f"there is no job {job_id} of yours", job_id=str(job_id))
    return row


def _seen(connection: Connection, tenant: str, job_id: UUID, restricted: bool) -> Row[Any]:
    """Return a job whose result may be seen."""
    job = _row(connection, tenant, job_id)
    if job.restricted and not restricted:
        raise Forbidden(f"the result of job {job_id} is for keys with the scope 'restricted'", scope="restricted")
    return job


def _head(connection: Connection, job: Row[Any]) -> UUID | None:
    same = (heads.c.tenant == job.tenant, heads.c.application == job.application, heads.c.key == job.supersede_key)
    # Locked, so that a newer submission takes the head before this look or finds the job queued afterwards.
    return connection.execute(select(heads.c.job_id).where(*same).with_for_update()).scalar()


def _views(connection: Connection, rows: Sequence[Row[Any]]) -> list[JobView]:
    """Turn rows into views with four more queries, however many there are."""
    ids = [row.id for row in rows]
    named: dict[UUID, list[str]] = {job_id: [] for job_id in ids}
    order = (job_images.c.job_id, job_images.c.position)
    for image in connection.execute(select(job_images).where(job_images.c.job_id.in_(ids)).order_by(*order)):
        named[image.job_id].append(image.sha256)
    told = connection.execute(select(results.c.job_id, results.c.headline).where(results.c.job_id.in_(ids)))
    headlines = {row.job_id: row.headline for row in told}
    later = select(result_versions.c.job_id, result_versions.c.headline).where(result_versions.c.job_id.in_(ids))
    headlines |= {row.job_id: row.headline for row in connection.execute(later.order_by(result_versions.c.version))}
    items = select(reviews.c.job_id, reviews.c.state).where(reviews.c.job_id.in_(ids)).order_by(reviews.c.id)
    states = {row.job_id: ReviewState(row.state) for row in connection.execute(items)}
    return [_view(row, named[row.id], headlines.get(row.id), states.get(row.id)) for row in rows]


def _view(row: Row[Any], named: list[str], headline: str | None, review: ReviewState | None) -> JobView:
    told = dict(row._mapping)
    error = JobError(code=row.error_code, message=row.error_message or "") if row.error_code else None
    shown = {"headline": headline, "review": review} if not row.restricted else {"headline": None, "review": None}
    return JobView(**told, **shown, metadata=told["meta"], images=named, error=error)
