"""When the database's clock was set back: what had been due must not wait until the old time comes again.

Moments are judged by the database's clock. A clock that jumps ahead makes leases lapse and retries ripen early, which
costs a run and loses nothing. One that is set back by an hour would hold every job that waits for an hour, for its
`ready_at` lies ahead now, and keep a dead worker's lease alive as long.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, literal, null, or_, select, update

from domain.jobs import JobState
from storage.clock import Moment, moment
from storage.tables import in_state, jobs, workers

WAITING = (
    in_state(JobState.QUEUED) & jobs.c.rung_at.is_(None),
    in_state(JobState.QUEUED) & jobs.c.rung_at.is_not(None),
)
"""The jobs that wait, in the two kinds that have an index: asked for together, all that ever ended would be read."""
AT_ONCE = 5_000
"""So many are changed in a statement, whose time is limited."""


def now(connection: Connection) -> datetime:
    """Return the database's time."""
    told: datetime = connection.execute(select(literal(1), moment().label("now"))).one().now
    return told


def latest_known(connection: Connection) -> datetime | None:
    """Return the latest moment at which a job that waits was accepted: the clock has shown it before."""
    told = [connection.execute(select(func.max(jobs.c.created_at)).where(kind)).scalar() for kind in WAITING]
    return max((one for one in told if one is not None), default=None)


def set_back(connection: Connection, before: datetime, lease_s: float) -> int:
    """Put right what the clock's step from `before` to now would hold up; return how many jobs it was.

    A job that had been due then is due now, and so is one that waits for another attempt. One that nobody has run and
    that was to be held back beyond `before` keeps its moment: the caller named it by the calendar. A lease is renewed
    for no more than `lease_s`; a live worker does the same by itself.
    """
    was_due = or_(jobs.c.ready_at <= literal(before, Moment()), jobs.c.token > 0)
    held_up = or_(jobs.c.ready_at > moment(), jobs.c.rung_at > moment())
    found: list[UUID] = []
    for kind in WAITING:
        # Not in id order: SQLite would walk the key, ended jobs and all. A deadlock is repeated.
        found += connection.execute(select(jobs.c.id).where(kind, held_up, was_due).with_for_update()).scalars()
    for start in range(0, len(found), AT_ONCE):
        some = jobs.c.id.in_(found[start : start + AT_ONCE])
        connection.execute(update(jobs).where(some).values(ready_at=moment(), rung_at=null()))
    connection.execute(
        update(workers)
        .where(workers.c.ended_at.is_(None), workers.c.lease_until > moment(lease_s))
        .values(lease_until=moment(lease_s))
    )
    return len(found)
