"""What dashboards and autoscalers ask again and again, answered without scanning the jobs.

How many are in each state comes from the counters. The oldest of a queue is the first row of an index for each tenant
that has something waiting; what was rung for and not yet claimed is bounded by the dispatcher's windows.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, literal, select

from domain.jobs import JobState
from storage.clock import moment
from storage.counters import counts
from storage.tables import in_state, jobs, workers


@dataclass
class QueueGauge:
    """What one queue holds; `oldest_age_s` is how long its oldest job that may run has been waiting."""

    application: str
    lane: str
    eligible: int = 0
    running: int = 0
    oldest_age_s: float = 0.0


def queues(connection: Connection) -> list[QueueGauge]:
    """Return what each queue with anything in it holds, over all tenants."""
    now = connection.execute(select(literal(1), moment().label("now"))).one().now
    found: dict[tuple[str, str], QueueGauge] = {}
    for count in counts(connection):
        gauge = found.setdefault((count.application, count.lane), QueueGauge(count.application, count.lane))
        if count.state == JobState.RUNNING:
            gauge.running += count.jobs
        elif count.state == JobState.QUEUED:
            delayed, oldest = _waiting(connection, count.tenant, count.application, count.lane, now)
            gauge.eligible += max(count.jobs - delayed, 0)
            gauge.oldest_age_s = max(gauge.oldest_age_s, (now - oldest).total_seconds() if oldest else 0.0)
    for gauge in found.values():
        rung = _oldest_rung(connection, gauge.application, gauge.lane)
        gauge.oldest_age_s = max(gauge.oldest_age_s, (now - rung).total_seconds() if rung else 0.0)
    return list(found.values())


def live_workers(connection: Connection) -> int:
    """Return how many workers hold a lease."""
    live = (
        select(func.count()).select_from(workers).where(workers.c.ended_at.is_(None), workers.c.lease_until > moment())
    )
    return connection.execute(live).scalar_one()


def _waiting(
    connection: Connection, tenant: str, application: str, lane: str, now: datetime
) -> tuple[int, datetime | None]:
    """Return how many of a tenant's jobs are held back by `not_before`, and since when the oldest other one waits."""
    mine = (
        in_state(JobState.QUEUED),
        jobs.c.rung_at.is_(None),
        jobs.c.application == application,
        jobs.c.lane == lane,
        jobs.c.tenant == tenant,
    )
    delayed = connection.execute(select(func.count()).where(*mine, jobs.c.ready_at > now)).scalar_one()
    # Not by min(): without fresh statistics PostgreSQL takes a large backlog for a handful of rows, and reads them all.
    oldest = connection.execute(select(jobs.c.ready_at).where(*mine).order_by(jobs.c.ready_at).limit(1)).scalar()
    return delayed, oldest if oldest is not None and oldest <= now else None


def _oldest_rung(connection: Connection, application: str, lane: str) -> datetime | None:
    rung = (
        in_state(JobState.QUEUED),
        jobs.c.rung_at.is_not(None),
        jobs.c.application == application,
        jobs.c.lane == lane,
    )
    return connection.execute(select(func.min(jobs.c.ready_at)).where(*rung)).scalar()
