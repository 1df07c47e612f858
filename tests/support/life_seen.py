"""What a database holds, told in the words of the model (`life_model`), in one reading transaction."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, select
from sqlalchemy.engine import Engine

from domain.jobs import JobState
from storage.clock import moment
from storage.counters import counts
from storage.session import read, write
from storage.tables import counter_deltas, counters, events, findings, heads, jobs, metadata, model_calls, results
from tests.support.life_model import HeadKey, Model, ModelJob

AGO = timedelta(seconds=15)
"""A doorbell that rang before that rang long ago."""


@dataclass(frozen=True)
class Seen:
    """A database at one moment."""

    jobs: dict[UUID, ModelJob]
    heads: dict[HeadKey, UUID]
    counts: Counter[tuple[str, str, str]]
    folded: Counter[tuple[str, str, str]]
    """what the counters say alone"""
    unfolded: int
    feed: dict[int, int | None]
    """each event's id, and its place in the feed"""
    half_written: list[str]
    """what must never be, in words"""


def look(engine: Engine) -> Seen:
    """Return what a database holds."""
    return read(engine, _look)


def wipe(engine: Engine) -> None:
    """Take every row away: quicker than a database of its own for each of hundreds of lives."""
    write(engine, lambda connection: [connection.execute(delete(table)) for table in metadata.sorted_tables])


def _look(connection: Connection) -> Seen:
    now: datetime = connection.execute(select(moment())).scalar_one()
    rows = {row.id: row for row in connection.execute(select(jobs))}
    told = connection.execute(
        select(events.c.id, events.c.feed_id, events.c.job_id, events.c.type).order_by(events.c.id)
    ).all()
    kept = {row.job_id: row.token for row in connection.execute(select(results.c.job_id, results.c.token))}
    found = _per_job(connection, findings)
    mine: dict[UUID, list[str]] = {job_id: [] for job_id in rows}
    for event in told:
        mine[event.job_id].append(event.type)
    return Seen(
        jobs={
            job_id: _in_words(row, now, mine[job_id], (kept[job_id], found[job_id]) if job_id in kept else None)
            for job_id, row in rows.items()
        },
        heads={(row.tenant, row.key): row.job_id for row in connection.execute(select(heads))},
        counts=Counter({(one.tenant, one.lane, one.state): one.jobs for one in counts(connection)}),
        folded=Counter({(row.tenant, row.lane, row.state): row.jobs for row in connection.execute(select(counters))}),
        unfolded=connection.execute(select(func.count()).select_from(counter_deltas)).scalar_one(),
        feed={event.id: event.feed_id for event in told},
        half_written=_half_written(rows, set(kept), set(found) | set(_per_job(connection, model_calls))),
    )


def _per_job(connection: Connection, table: Any) -> Counter[UUID]:
    return Counter(connection.execute(select(table.c.job_id)).scalars())


def _half_written(rows: dict[UUID, Row[Any]], kept: set[UUID], described: set[UUID]) -> list[str]:
    wrong = [f"{job_id} has findings or model calls and no result" for job_id in described - kept]
    for job_id, row in rows.items():
        if JobState(row.state).ended != (row.ended_at is not None):
            wrong.append(f"{job_id} is {row.state} and ended at {row.ended_at}")
        if (row.error_code is None) != (row.error_message is None):
            wrong.append(f"{job_id} has half an error")
    return wrong


def _in_words(row: Row[Any], now: datetime, told: list[str], result: tuple[int, int] | None) -> ModelJob:
    state = JobState(row.state)
    return ModelJob(
        id=row.id,
        tenant=row.tenant,
        lane=row.lane,
        supersede_key=row.supersede_key,
        deadline=row.deadline and ("passed" if row.deadline <= now else "ahead"),
        held_back=row.ready_at > now,
        state=state,
        token=row.token,
        attempts=row.attempts,
        losses=row.losses,
        strikes=row.strikes,
        suspect=row.suspect,
        asked=row.cancel_requested,
        late=row.late,
        error=row.error_code,
        rung=row.rung_at and ("long ago" if row.rung_at < now - AGO else "now"),
        worker=row.worker,
        told=told,
        result=result,
    )


def differences(model: Model, seen: Seen) -> list[str]:
    """Say where a database and the model differ; nothing where they agree."""
    wrong = list(seen.half_written)
    for job_id in model.jobs.keys() | seen.jobs.keys():
        must, is_ = model.jobs.get(job_id), seen.jobs.get(job_id)
        if must is None or is_ is None:
            wrong.append(f"job {job_id}: must be {must}, is {is_}")
        else:
            wrong += _differences(must, is_)
    for name, must, is_ in (("heads", model.heads, seen.heads), ("counts", +model.counts(), +seen.counts)):
        if must != is_:
            wrong.append(f"{name}: must be {must}, are {is_}")
    return wrong


def _differences(must: ModelJob, is_: ModelJob) -> list[str]:
    waits, runs = must.state is JobState.QUEUED, must.state is JobState.RUNNING
    ignored = {"rung"} if not waits else set()  # a doorbell is of no account once the job runs
    ignored |= {"worker"} if not runs else set()
    ignored |= {"held_back"} if not waits else set()
    names = [name for name in vars(must) if name not in ignored]
    return [
        f"{name} of {must.state} job {must.id}: must be {getattr(must, name)!r}, is {getattr(is_, name)!r}"
        for name in names
        if getattr(must, name) != getattr(is_, name)
    ]
