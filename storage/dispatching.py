"""Which queued jobs to ring for. Order is decided here, where all is known: lanes apart, tenants in turn."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Select, func, null, or_, select, update

from domain.jobs import JobState, queue_name
from storage.clock import moment
from storage.tables import in_state, jobs, workers

FORGOTTEN_AT_ONCE = 1_000
"""How many doorbells count as lost in one transaction."""


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
    token: int = 0
    """how often it has been claimed"""


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
            queue = _queue(name)
            served[queue] = served.get(queue, 0) + capacity
    return served


def due_queues(connection: Connection) -> dict[Queue, int]:
    """Return those of the live queues on which a job wants a doorbell, or will once it is ready; see `live_queues`.

    One look for all: most of the time most of them have none, and each would cost a transaction of its own.
    """
    live = live_queues(connection)
    if not live:
        return {}
    waits = [_unrung(queue, jobs.c.id).exists().label(f"at_{at}") for at, queue in enumerate(live)]
    told = connection.execute(select(*waits)).one()
    return {queue: capacity for (queue, capacity), due in zip(live.items(), told, strict=True) if due}


def spare_workers(connection: Connection) -> dict[UUID, list[Queue]]:
    """Return the live workers that run fewer jobs than they could, and the queues that they serve."""
    running = select(func.count()).where(in_state(JobState.RUNNING), jobs.c.worker == workers.c.id).scalar_subquery()
    rows = connection.execute(
        select(workers.c.id, workers.c.queues).where(
            workers.c.ended_at.is_(None), workers.c.lease_until > moment(), running < workers.c.capacity
        )
    )
    return {row.id: [_queue(name) for name in row.queues] for row in rows}


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
        turns.append(_of_tenant(connection, queue, name, share))
        if share == 1 and sum(map(len, turns)) >= limit:
            break  # one of each fills the places, so that what many more tenants have need not be looked at
    if sum(map(len, turns)) < limit:
        # Others had less than their share, or only jobs that are held back: whoever has more may fill their places.
        more = [turn[0].tenant for turn in turns if len(turn) == share]
        full = {name: _of_tenant(connection, queue, name, limit) for name in more}
        turns = [full.get(turn[0].tenant, turn) for turn in turns if turn]
    mixed = [one for turn in zip_longest(*turns) for one in turn if one is not None]
    return mixed[:limit]


def mark_rung(connection: Connection, rung: Sequence[Waiting]) -> None:
    """Note that the doorbell rang for jobs that still wait.

    One that was claimed since it was found, and waits again, wants another.
    """
    for token in sorted({one.token for one in rung}):
        same = jobs.c.id.in_(sorted(one.id for one in rung if one.token == token)), jobs.c.token == token
        waiting = in_state(JobState.QUEUED), jobs.c.rung_at.is_(None)
        connection.execute(update(jobs).where(*same, *waiting).values(rung_at=moment()))


def still_heard(connection: Connection, ids: Sequence[UUID]) -> None:
    """Note that the doorbells of these are not lost: a worker has them and will claim them when a thread is free."""
    # One that somebody holds at this moment is being claimed, so it needs no such note, nor may it be waited for: a
    # claim locks many, and each could wait for the other.
    waiting = (
        select(jobs.c.id)
        .where(jobs.c.id.in_(ids), in_state(JobState.QUEUED), jobs.c.rung_at.is_not(None))
        .with_for_update(skip_locked=True)
    )
    connection.execute(update(jobs).where(jobs.c.id.in_(waiting)).values(rung_at=moment()))


def anything_rung(connection: Connection, names: Iterable[str]) -> bool:
    """Say whether a job waits that was rung for, on any of the queues of these names."""
    rung = (in_state(JobState.QUEUED), jobs.c.rung_at.is_not(None))
    for queue in map(_queue, names):
        same = (jobs.c.application == queue.application, jobs.c.lane == queue.lane)
        if connection.execute(select(jobs.c.id).where(*same, *rung).limit(1)).first() is not None:
            return True
    return False


def forget_lost_doorbells(connection: Connection, queue: Queue, after_s: float) -> int:
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
        .limit(FORGOTTEN_AT_ONCE)
        .with_for_update(skip_locked=True)
        .cte("lost")  # as a subquery PostgreSQL may ask it once for each row, and then its limit holds for none
    )
    forgotten = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(select(lost.c.id)), in_state(JobState.QUEUED))
        .values(rung_at=null())
        .returning(jobs.c.id)
    )
    return len(forgotten.all())  # SQLite counts no rows of a statement that begins with WITH


def _queue(name: str) -> Queue:
    application, _, lane = name.rpartition(".")
    return Queue(application, lane)


def _waiting_tenants(connection: Connection, queue: Queue) -> list[str]:
    """Return the tenants with jobs that want a doorbell, by jumping through the index from one to the next."""
    # Not by min(): without fresh statistics PostgreSQL takes a large backlog for a handful of rows, and reads them all.
    least = _unrung(queue, jobs.c.tenant).order_by(jobs.c.tenant).limit(1)
    first = select(least.scalar_subquery().label("tenant")).cte("hop", recursive=True)
    following = least.where(jobs.c.tenant > first.c.tenant).scalar_subquery()
    hops = first.union_all(select(following).where(first.c.tenant.is_not(None)))
    rows = connection.execute(select(hops.c.tenant).where(hops.c.tenant.is_not(None)))
    return list(rows.scalars())


def _of_tenant(connection: Connection, queue: Queue, tenant: str, limit: int) -> list[Waiting]:
    """Return a tenant's jobs, those with the nearest deadline first, then the oldest."""
    mine = _unrung(queue, jobs.c.id, jobs.c.tenant, jobs.c.token).where(
        jobs.c.tenant == tenant, jobs.c.ready_at <= moment()
    )
    in_time = jobs.c.deadline > moment()
    urgent = mine.where(jobs.c.deadline.is_not(None), in_time).order_by(jobs.c.deadline)
    found = dict.fromkeys(Waiting(*row) for row in connection.execute(urgent.limit(limit)))
    if len(found) < limit:
        # No claim takes one whose deadline has passed: rung for, it would fill the window until it is ended.
        aged = mine.where(or_(jobs.c.deadline.is_(None), in_time)).order_by(jobs.c.ready_at).limit(limit)
        found |= dict.fromkeys(Waiting(*row) for row in connection.execute(aged))
    return list(found)[:limit]


def _unrung(queue: Queue, *columns: Any) -> Select[Any]:  # noqa: ANN401  (columns of any type)
    return select(*columns).where(
        jobs.c.application == queue.application,
        jobs.c.lane == queue.lane,
        in_state(JobState.QUEUED),
        jobs.c.rung_at.is_(None),
    )
