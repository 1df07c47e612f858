"""Writing events and counts beside the change of state that they tell of, in the same transaction."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, insert, select

from domain.events import EventType, ending
from domain.jobs import JobState
from storage.clock import moment
from storage.counters import Slot, moved
from storage.tables import events, in_state, jobs


class Change(NamedTuple):
    """A job's change of state, as the world is told of it."""

    job_id: UUID
    slot: Slot
    """with the state that it came into"""
    before: JobState | None
    event: EventType | None = None
    """left out: the event of the end, or none for a job that started to run"""
    body: dict[str, Any] | None = None


def changed(connection: Connection, changes: Sequence[Change]) -> None:
    """Count the changes and write their events."""
    moved(connection, [(change.slot, change.before) for change in changes])
    rows = []
    for change in changes:
        state = JobState(change.slot.state)
        event = change.event or (ending(state) if state.ended else None)
        if event is not None:
            body = {"application": change.slot.application, "lane": change.slot.lane, "state": state.value}
            rows.append(_row(change.slot.tenant, event, change.job_id, {**body, **(change.body or {})}))
    if rows:
        connection.execute(insert(events).values(created_at=moment()), rows)


def told(connection: Connection, tenant: str, event: EventType, body: dict[str, Any]) -> None:
    """Write an event that belongs to no job."""
    connection.execute(insert(events).values(**_row(tenant, event, None, body), created_at=moment()))


def progressed(connection: Connection, job_id: UUID, token: int, body: dict[str, Any]) -> bool:
    """Write that a running job has come further; return whether it is still held under that token."""
    held = (jobs.c.id == job_id, jobs.c.token == token, in_state(JobState.RUNNING))
    row = connection.execute(select(jobs.c.tenant, jobs.c.application, jobs.c.lane).where(*held)).first()
    if row is None:
        return False
    facts = {"application": row.application, "lane": row.lane, "state": JobState.RUNNING.value, **body}
    connection.execute(
        insert(events).values(**_row(row.tenant, EventType.PROGRESS, job_id, facts), created_at=moment())
    )
    return True


def _row(tenant: str, event: EventType, job_id: UUID | None, body: dict[str, Any]) -> dict[str, Any]:
    return {"tenant": tenant, "type": event.value, "job_id": job_id, "body": body}
