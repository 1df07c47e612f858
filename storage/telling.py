"""Events as rows: written in the transaction of what they tell of."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert

from domain.events import EventType
from storage.clock import moment
from storage.tables import events


def told(
    connection: Connection,
    tenant: str,
    event: EventType,
    body: dict[str, Any],
    *,
    job_id: UUID | None = None,
    restricted: bool = False,
) -> None:
    """Write an event that is no change of a job's state; a restricted one is told to keys with that scope alone."""
    row = {**event_row(tenant, event, job_id, body), "restricted": restricted}
    connection.execute(insert(events).values(**row, created_at=moment()))


def event_row(tenant: str, event: EventType, job_id: UUID | None, body: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table of events."""
    return {"tenant": tenant, "type": event.value, "job_id": job_id, "body": body}
