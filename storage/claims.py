"""Claiming jobs for a worker, and committing what became of them.

Both are single conditional statements. A claim raises the job's fencing token by one; a commit names the token under
which it ran. Between the two a job may have been taken away (the lease lapsed) and given to another: then the token or
the state differs, the statement returns no row, and nothing else is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    cast,
    false,
    func,
    insert,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)

from domain.applications import Finding
from domain.events import EventType
from domain.jobs import JobState
from domain.reviews import ReviewNeed
from storage.bell import notify
from storage.clock import moment
from storage.counters import Slot
from storage.facts import Change, changed
from storage.heads import superseded
from storage.reviews import Asked, ask
from storage.tables import findings, in_state, job_images, jobs, model_calls, results, workers


@dataclass(frozen=True)
class ClaimedJob:
    """A job that a worker holds, and the token under which it may commit."""

    id: UUID
    token: int
    tenant: str
    application: str
    lane: str
    params: dict[str, Any]
    images: tuple[str, ...]
    attempts: int
    suspect: bool
    deadline_in_s: float | None


@dataclass(frozen=True)
class ModelCall:
    """Where one answer came from."""

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
    scores: str = "none"
    """what the answer's scores are: shares, each by itself, ..."""
    remarks: dict[str, Any] = field(default_factory=dict)
    """what its reader should know besides: boxes that were dropped, a text that was cut"""


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    `state` is where the job goes: an end, or `queued` for a retry in `delay_s` seconds.
    """

    job: ClaimedJob
    state: JobState
    version: str = ""
    headline: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    pictures: tuple[dict[str, int], ...] = ()
    """width, height and EXIF orientation of each image, as it was seen"""
    findings: tuple[Finding, ...] = ()
    calls: tuple[ModelCall, ...] = ()
    review: ReviewNeed | None = None
    """what is asked of people about the result"""
    error_code: str | None = None
    error_message: str | None = None
    delay_s: float = 0.0
    costs_attempt: bool = True
    """whether an error uses up one of the job's attempts"""


def hearable(connection: Connection, ids: Sequence[UUID]) -> list[tuple[UUID, str, str, bool, float | None, str]]:
    """Return (id, application, lane, suspect, seconds to the deadline, tenant) of the jobs that wait.

    An id may be stale, or forged.
    """
    seconds = _seconds_until(connection, jobs.c.deadline)
    rows = connection.execute(
        select(jobs.c.id, jobs.c.application, jobs.c.lane, jobs.c.suspect, seconds, jobs.c.tenant).where(
            jobs.c.id.in_(ids), in_state(JobState.QUEUED)
        )
    )
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


def claim(connection: Connection, worker: UUID, ids: Sequence[UUID], *, suspects: bool = False) -> list[ClaimedJob]:
    """Take as many of the jobs as still wait, for a worker whose lease holds. An id that returns no row was stale.

    `suspects` says which of the two kinds is taken: a suspect must be alone in its process, so the caller asks apart.
    """
    # Locked, so that whoever ends the worker at this moment waits for this claim and then gives its jobs back too. The
    # weakest lock: a claim may wait for a row longer than a lease lasts, and the worker's renewals must get by.
    holds = (
        select(workers.c.id)
        .where(workers.c.id == worker, workers.c.ended_at.is_(None), workers.c.lease_until > moment())
        .with_for_update(read=True, key_share=True)
    )
    free = (
        select(jobs.c.id)
        .where(
            jobs.c.id.in_(ids),
            in_state(JobState.QUEUED),
            jobs.c.suspect == (true() if suspects else false()),
            jobs.c.ready_at <= moment(),
            or_(jobs.c.deadline.is_(None), jobs.c.deadline > moment()),
            or_(jobs.c.supersede_key.is_(None), ~superseded()),
            holds.exists(),
        )
        # In id order, so that two claims of the same ids cannot deadlock. It waits for whoever holds a row: a claim
        # that skipped one which the dispatcher is just marking as rung would lose its doorbell.
        .order_by(jobs.c.id)
        .with_for_update()
    )
    taken = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(free))
        .values(
            state=JobState.RUNNING.value,
            worker=worker,
            token=jobs.c.token + 1,
            started_at=moment(),
        )
        .returning(jobs, _seconds_until(connection, jobs.c.deadline).label("deadline_in_s"))
    ).all()
    named: dict[UUID, list[str]] = {row.id: [] for row in taken}
    order = (job_images.c.job_id, job_images.c.position)
    for image in connection.execute(select(job_images).where(job_images.c.job_id.in_(list(named))).order_by(*order)):
        named[image.job_id].append(image.sha256)
    claimed = [
        ClaimedJob(
            id=row.id,
            token=row.token,
            tenant=row.tenant,
            application=row.application,
            lane=row.lane,
            params=row.params,
            images=tuple(named[row.id]),
            attempts=row.attempts,
            suspect=row.suspect,
            deadline_in_s=row.deadline_in_s,
        )
        for row in taken
    ]
    changed(connection, [Change(job.id, _slot(job, JobState.RUNNING), JobState.QUEUED) for job in claimed])
    return claimed


def commit(connection: Connection, worker: UUID, outcomes: Sequence[Outcome]) -> set[UUID]:
    """Write what became of runs, in one transaction, and return the ids for which it held.

    What is not in the answer was fenced: cancelled by its own loss, or run by another. Nothing was written for it.
    """
    ordered = sorted(outcomes, key=lambda outcome: outcome.job.id)
    succeeded = [outcome for outcome in ordered if outcome.state is JobState.SUCCEEDED]
    held = _end_all(connection, worker, succeeded)
    late_comers = [outcome for outcome in succeeded if outcome.job.id not in held]
    kept = {outcome.job.id: outcome for outcome in succeeded if outcome.job.id in held}
    _store(connection, list(kept.values()))
    changes = [Change(job_id, _slot(o.job, JobState.SUCCEEDED), JobState.RUNNING) for job_id, o in kept.items()]
    for outcome in late_comers:
        changes += _end_superseded(connection, worker, outcome.job)
    for outcome in ordered:
        if outcome.state is not JobState.SUCCEEDED:
            changes += _end_one(connection, worker, outcome)
    changed(connection, changes)
    doubtful = [(outcome.job, outcome.review) for outcome in kept.values() if outcome.review is not None]
    ask(connection, [Asked(job.id, job.tenant, job.application, need) for job, need in doubtful], list(kept))
    if changes:
        notify(connection)
    return {change.job_id for change in changes}


def _guard(worker: UUID) -> tuple[ColumnElement[bool], ...]:
    return in_state(JobState.RUNNING), jobs.c.worker == worker


def _end_all(connection: Connection, worker: UUID, outcomes: Sequence[Outcome]) -> set[UUID]:
    """End the jobs that succeeded in one statement; one that a newer job superseded does not."""
    if not outcomes:
        return set()
    tokens = [(outcome.job.id, outcome.job.token) for outcome in outcomes]
    locked = (
        select(jobs.c.id)
        .where(tuple_(jobs.c.id, jobs.c.token).in_(tokens), *_guard(worker))
        .order_by(jobs.c.id)
        .with_for_update()
    )
    ended = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(locked), *_guard(worker), or_(jobs.c.supersede_key.is_(None), ~superseded()))
        .values(
            state=JobState.SUCCEEDED.value,
            ended_at=moment(),
            late=func.coalesce(jobs.c.deadline < moment(), false()),
            suspect=False,
            strikes=0,
            losses=0,
            error_code=null(),  # of an attempt that a later one made good
            error_message=null(),
        )
        .returning(jobs.c.id)
    )
    return set(ended.scalars())


def _end_superseded(connection: Connection, worker: UUID, job: ClaimedJob) -> list[Change]:
    ended = connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.token == job.token, *_guard(worker), superseded())
        .values(state=JobState.SUPERSEDED.value, ended_at=moment())
    )
    return [Change(job.id, _slot(job, JobState.SUPERSEDED), JobState.RUNNING)] if ended.rowcount else []


def _end_one(connection: Connection, worker: UUID, outcome: Outcome) -> list[Change]:
    """Write an end without a result, or the return of a job to the queue for another attempt."""
    job, again = outcome.job, outcome.state is JobState.QUEUED
    values: dict[str, Any] = {
        "state": outcome.state.value,
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "attempts": jobs.c.attempts + int(bool(outcome.error_code) and outcome.costs_attempt),
    }
    if again:
        values |= {"ready_at": moment(outcome.delay_s), "rung_at": null(), "worker": null()}
    else:
        values |= {"ended_at": moment(), "late": func.coalesce(jobs.c.deadline < moment(), false())}
    mine = (jobs.c.id == job.id, jobs.c.token == job.token, *_guard(worker))
    if again:
        # A job that was asked to stop does not come back: its cancel is confirmed here instead. Locked first: a cancel
        # that was committed between the two statements would go back into the queue with the job, and be lost.
        connection.execute(select(jobs.c.id).where(*mine).with_for_update())
        stopped = {"state": JobState.CANCELLED.value, "ended_at": moment()}
        if connection.execute(update(jobs).where(*mine, jobs.c.cancel_requested).values(**stopped)).rowcount:
            return [Change(job.id, _slot(job, JobState.CANCELLED), JobState.RUNNING)]
    if not connection.execute(update(jobs).where(*mine).values(**values)).rowcount:
        return []
    error = {"code": outcome.error_code, "message": outcome.error_message} if outcome.error_code else None
    event = EventType.RETRIED if again else None
    return [Change(job.id, _slot(job, outcome.state), JobState.RUNNING, event, {"error": error})]


def _store(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Insert results, findings and model calls of jobs that this transaction has just ended."""
    if not outcomes:
        return
    connection.execute(
        insert(results).values(created_at=moment()),
        [
            {
                "job_id": outcome.job.id,
                "token": outcome.job.token,
                "version": outcome.version,
                "headline": outcome.headline,
                "body": outcome.body,
                "pictures": list(outcome.pictures),
            }
            for outcome in outcomes
        ],
    )
    found = [_finding_row(outcome.job, at, it) for outcome in outcomes for at, it in enumerate(outcome.findings)]
    if found:
        connection.execute(insert(findings).values(created_at=moment()), found)
    calls = [
        {"job_id": outcome.job.id, "position": at, **vars(call)}
        for outcome in outcomes
        for at, call in enumerate(outcome.calls)
    ]
    if calls:
        connection.execute(insert(model_calls), calls)


def _finding_row(job: ClaimedJob, position: int, found: Finding) -> dict[str, Any]:
    told = found.model_dump(exclude={"box"})
    x0, y0, x1, y1 = found.box.xyxy
    where = {"x0": x0, "y0": y0, "x1": x1, "y1": y1}
    return {
        "job_id": job.id,
        "position": position,
        "tenant": job.tenant,
        "application": job.application,
        **told,
        **where,
    }


def _slot(job: ClaimedJob, state: JobState) -> Slot:
    return Slot(job.tenant, job.application, job.lane, state.value)


def _seconds_until(connection: Connection, when: Any) -> ColumnElement[float]:  # noqa: ANN401  (a column)
    """Return, in SQL, the seconds from now to a moment, NULL of NULL: durations survive a wrong clock."""
    if connection.dialect.name == "postgresql":
        return cast(func.extract("epoch", when - func.clock_timestamp()), Float)
    return (func.julianday(when) - func.julianday("now")) * 86_400.0
