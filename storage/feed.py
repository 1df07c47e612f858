"""The feed of events that dashboards and upstream systems read, in an order that never changes.

An event's row is written in the commit that made it true, and commits end in any order: numbered at insertion, a slow
one could appear behind a reader that has already passed its number. So the place in the feed is given afterwards, by
one process at a time, and a reader that resumes after any number misses nothing.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Connection, func, select, text, update

from storage.tables import events

AT_ONCE = 1_000
HOUSEKEEPING_LOCK = 0x51_6874_6C69_6E65
"""An advisory lock of PostgreSQL; SQLite has one writer anyway."""


class FeedEvent(BaseModel):
    """An event in its place."""

    feed_id: int
    type: str
    job_id: UUID | None
    body: dict[str, Any]
    created_at: datetime


def hold_housekeeping(connection: Connection) -> bool:
    """Take the lock under which events are numbered and counters folded, until this transaction ends."""
    if connection.dialect.name != "postgresql":
        return True
    taken = connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": HOUSEKEEPING_LOCK})
    return bool(taken.scalar())


def number(connection: Connection) -> int:
    """Give the events that have none their place; return how many. The caller holds the housekeeping lock."""
    fresh = select(events.c.id).where(events.c.feed_id.is_(None)).order_by(events.c.id).limit(AT_ONCE)
    ids = list(connection.execute(fresh).scalars())
    if ids:
        last = connection.execute(select(func.max(events.c.feed_id))).scalar() or 0
        place = func.row_number().over(order_by=events.c.id).label("place")
        numbered = select(events.c.id, place).where(events.c.id.in_(ids)).subquery()
        connection.execute(update(events).where(events.c.id == numbered.c.id).values(feed_id=last + numbered.c.place))
    return len(ids)


def after(
    connection: Connection, tenant: str, feed_id: int, limit: int = AT_ONCE, *, restricted: bool = False
) -> list[FeedEvent]:
    """Return a tenant's events behind a place in the feed, in order, with those for few eyes where they may be seen."""
    wanted = (
        select(events.c.feed_id, events.c.type, events.c.job_id, events.c.body, events.c.created_at)
        .where(events.c.tenant == tenant, events.c.feed_id > feed_id)
        .order_by(events.c.feed_id)
        .limit(limit)
    )
    rows = connection.execute(wanted if restricted else wanted.where(~events.c.restricted))
    return [FeedEvent.model_validate(row._mapping) for row in rows]


def last(connection: Connection, tenant: str) -> int:
    """Return the place of a tenant's newest event, 0 without one."""
    return connection.execute(select(func.max(events.c.feed_id)).where(events.c.tenant == tenant)).scalar() or 0
