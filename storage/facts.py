"""Writing events and counts beside the change of state that they tell of, in the same transaction."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, insert

from domain.events import EventType, ending
from domain.jobs import JobState
from storage.clock import moment
from storage.counters import Slot, moved
from storage.tables import events


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


def _row(tenant: str, event: EventType, job_id: UUID | None, body: dict[str, Any]) -> dict[str, Any]:
    return {"tenant": tenant, "type": event.value, "job_id": job_id, "body": body}
