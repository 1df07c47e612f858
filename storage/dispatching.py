"""Which queued jobs to ring for. Order is decided here, where all is known: lanes apart, tenants in turn."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Select, func, null, select, update

from domain.jobs import JobState, queue_name
from storage.clock import moment
from storage.tables import in_state, jobs, workers


class Queue(NamedTuple):
    """An application's lane."""

    application: str
    lane: str

    @property
    def name(self) -> str:
        """What the broker knows it as."""
        return queue_name(self.application, self.lane)


class Waiting(NamedTuple):
    """A job that wants a doorbell."""

    id: UUID
    tenant: str


def live_queues(connection: Connection) -> dict[Queue, int]:
    """Return the queues that live workers serve, and how many jobs those workers run at a time."""
    rows = connection.execute(
        select(workers.c.queues, workers.c.capacity).where(
            workers.c.ended_at.is_(None), workers.c.lease_until > moment()
        )
    )
    served: dict[Queue, int] = {}
    for queues, capacity in rows:
        for name in queues:
            application, _, lane = name.rpartition(".")
            queue = Queue(application, lane)
            served[queue] = served.get(queue, 0) + capacity
    return served


def outstanding(connection: Connection, queue: Queue) -> int:
    """Return how many jobs of the queue were rung for or run, and have not ended."""
    same = (jobs.c.application == queue.application, jobs.c.lane == queue.lane)
    rung = select(func.count()).where(*same, in_state(JobState.QUEUED), jobs.c.rung_at.is_not(None))
    running = select(func.count()).where(*same, in_state(JobState.RUNNING))
    return connection.execute(rung).scalar_one() + connection.execute(running).scalar_one()


def hold(connection: Connection, queue: Queue) -> bool:
    """Take a queue for this transaction, unless another dispatcher has it. SQLite has no such lock.

    The queue is locked and its rows are not: a worker may claim a job while the message that named it is still young.
    """
    if connection.dialect.name != "postgresql":
        return True
    name = func.hashtextextended(f"sightline.dispatch.{queue.name}", 0)
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(name))).scalar())


def waiting(connection: Connection, queue: Queue, limit: int, *, after: str = "") -> list[Waiting]:
    """Return up to `limit` jobs that want a doorbell, the tenants in turn, each tenant's by deadline and age.

    The turn begins behind the tenant `after`, who was served last: in a full window one place comes free at a time.
    """
    tenants = _waiting_tenants(connection, queue)
    if not tenants:
        return []
    share = limit if len(tenants) == 1 else max(1, 2 * limit // len(tenants))
    in_turn = [name for name in tenants if name > after] + [name for name in tenants if name <= after]
    turns: list[list[Waiting]] = []
    for name in in_turn:
        turns.append([Waiting(job_id, name) for job_id in _of_tenant(connection, queue, name, share)])
        if share == 1 and sum(map(len, turns)) >= limit:
            break  # one of each fills the places, so that what many more tenants have need not be looked at
    if sum(map(len, turns)) < limit:
        # Others had less than their share, or only jobs that are held back: whoever has more may fill their places.
        more = [turn[0].tenant for turn in turns if len(turn) == share]
        full = {name: [Waiting(job_id, name) for job_id in _of_tenant(connection, queue, name, limit)] for name in more}
        turns = [full.get(turn[0].tenant, turn) for turn in turns if turn]
    mixed = [one for turn in zip_longest(*turns) for one in turn if one is not None]
    return mixed[:limit]


def mark_rung(connection: Connection, ids: Sequence[UUID]) -> None:
    """Note that the doorbell rang for jobs that still wait."""
    waiting = (jobs.c.id.in_(sorted(ids)), in_state(JobState.QUEUED), jobs.c.rung_at.is_(None))
    connection.execute(update(jobs).where(*waiting).values(rung_at=moment()))


def forget_lost_doorbells(connection: Connection, queue: Queue, after_s: float, limit: int = 1_000) -> int:
    """Let jobs that were rung for long ago and never claimed be rung for again; return how many."""
    lost = (
        select(jobs.c.id)
        .where(
            jobs.c.application == queue.application,
            jobs.c.lane == queue.lane,
            in_state(JobState.QUEUED),
            jobs.c.rung_at < moment(-after_s),
        )
        .order_by(jobs.c.rung_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    forgotten = connection.execute(
        update(jobs).where(jobs.c.id.in_(lost), in_state(JobState.QUEUED)).values(rung_at=null())
    )
    return forgotten.rowcount


def _waiting_tenants(connection: Connection, queue: Queue) -> list[str]:
    """Return the tenants with jobs that want a doorbell, by jumping through the index from one to the next."""
    first = _unrung(queue, func.min(jobs.c.tenant).label("tenant")).cte("hop", recursive=True)
    following = _unrung(queue, func.min(jobs.c.tenant)).where(jobs.c.tenant > first.c.tenant).scalar_subquery()
    hops = first.union_all(select(following).where(first.c.tenant.is_not(None)))
    rows = connection.execute(select(hops.c.tenant).where(hops.c.tenant.is_not(None)))
    return list(rows.scalars())


def _of_tenant(connection: Connection, queue: Queue, tenant: str, limit: int) -> list[UUID]:
    """Return a tenant's jobs, those with the nearest deadline first, then the oldest."""
    mine = _unrung(queue, jobs.c.id).where(jobs.c.tenant == tenant, jobs.c.ready_at <= moment())
    urgent = mine.where(jobs.c.deadline.is_not(None), jobs.c.deadline > moment()).order_by(jobs.c.deadline)
    ids = list(connection.execute(urgent.limit(limit)).scalars())
    if len(ids) < limit:
        aged = mine.order_by(jobs.c.ready_at).limit(limit)
        known = set(ids)
        ids += [job_id for job_id in connection.execute(aged).scalars() if job_id not in known]
    return ids[:limit]


def _unrung(queue: Queue, *columns: Any) -> Select[Any]:  # noqa: ANN401  (columns of any type)
    return select(*columns).where(
        jobs.c.application == queue.application,
        jobs.c.lane == queue.lane,
        in_state(JobState.QUEUED),
        jobs.c.rung_at.is_(None),
    )
