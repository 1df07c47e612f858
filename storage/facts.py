"""Writing events and counts beside the change of state that they tell of, in the same transaction."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, insert, select

from domain.applications import applications
from domain.events import EventType, ending
from domain.jobs import JobState
from domain.reviews import ReviewNeed
from storage.clock import moment
from storage.counters import Slot, moved
from storage.reviews import Asked, ask
from storage.tables import events, in_state, jobs
from storage.telling import event_row

UNANSWERED = frozenset({JobState.FAILED, JobState.DEAD, JobState.EXPIRED})
"""Ends without an answer that nobody asked for."""


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
            rows.append(event_row(change.slot.tenant, event, change.job_id, {**body, **(change.body or {})}))
    if rows:
        connection.execute(insert(events).values(created_at=moment()), rows)
    ask(connection, [failed for change in changes if (failed := _left_to_people(change)) is not None])


def _left_to_people(change: Change) -> Asked | None:
    """Return what is asked of people about a job that ended without an answer, where its application has them asked."""
    slot = change.slot
    wanted = applications().get(slot.application)
    if wanted is None or wanted.failures is None or JobState(slot.state) not in UNANSWERED:
        return None
    code = ((change.body or {}).get("error") or {}).get("code")
    reason = str(code or slot.state).replace("_", "-")
    need = ReviewNeed(queue=wanted.failures, reasons=(reason,), summary=f"the job ended {slot.state}, without a result")
    return Asked(change.job_id, slot.tenant, slot.application, need)


def progressed(connection: Connection, job_id: UUID, token: int, body: dict[str, Any]) -> bool:
    """Write that a running job has come further; return whether it is still held under that token."""
    held = (jobs.c.id == job_id, jobs.c.token == token, in_state(JobState.RUNNING))
    row = connection.execute(select(jobs.c.tenant, jobs.c.application, jobs.c.lane).where(*held)).first()
    if row is None:
        return False
    facts = {"application": row.application, "lane": row.lane, "state": JobState.RUNNING.value, **body}
    connection.execute(
        insert(events).values(**event_row(row.tenant, EventType.PROGRESS, job_id, facts), created_at=moment())
    )
    return True
