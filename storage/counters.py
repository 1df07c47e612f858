"""How many jobs are in each state, without counting them.

Every change of state inserts a delta in its own transaction; one process folds them (`fold`). A count is the folded
number and what has not been folded yet, so it is right at any moment and no shared row is ever locked by a job.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, union_all, update

from domain.jobs import JobState
from storage.tables import counter_deltas, counters

FOLDED_AT_ONCE = 5_000


class Slot(NamedTuple):
    """What is counted."""

    tenant: str
    application: str
    lane: str
    state: str


class Count(NamedTuple):
    """A count of jobs."""

    tenant: str
    application: str
    lane: str
    state: str
    jobs: int


def moved(connection: Connection, moves: Iterable[tuple[Slot, JobState | None]]) -> None:
    """Note that jobs came into the slot's state, each from another state (None: from outside)."""
    net: Counter[Slot] = Counter()
    for slot, before in moves:
        net[slot] += 1
        if before is not None:
            net[slot._replace(state=before.value)] -= 1
    rows = [{**slot._asdict(), "delta": delta} for slot, delta in sorted(net.items()) if delta]
    if rows:
        connection.execute(insert(counter_deltas), rows)


def counts(connection: Connection, tenant: str | None = None) -> list[Count]:
    """Return the counts that are not zero, of one tenant or of all."""
    folded = select(counters.c.tenant, counters.c.application, counters.c.lane, counters.c.state, counters.c.jobs)
    fresh = select(
        counter_deltas.c.tenant,
        counter_deltas.c.application,
        counter_deltas.c.lane,
        counter_deltas.c.state,
        counter_deltas.c.delta,
    )
    if tenant is not None:
        folded = folded.where(counters.c.tenant == tenant)
        fresh = fresh.where(counter_deltas.c.tenant == tenant)
    both = union_all(folded, fresh).subquery()
    slot = (both.c.tenant, both.c.application, both.c.lane, both.c.state)
    total = func.sum(both.c.jobs)
    rows = connection.execute(select(*slot, total).group_by(*slot).having(total != 0).order_by(*slot))
    return [Count(row[0], row[1], row[2], row[3], int(row[4])) for row in rows]


def backlog(connection: Connection, tenant: str) -> int:
    """Return how many jobs of a tenant wait or run."""
    return sum(count.jobs for count in counts(connection, tenant) if not JobState(count.state).ended)


def fold(connection: Connection) -> int:
    """Fold the oldest deltas into the counters and return how many. The caller holds the housekeeping lock."""
    rows = connection.execute(select(counter_deltas).order_by(counter_deltas.c.id).limit(FOLDED_AT_ONCE)).all()
    net: Counter[Slot] = Counter()
    for row in rows:
        net[Slot(row.tenant, row.application, row.lane, row.state)] += row.delta
    for slot, delta in sorted(net.items()):
        _add(connection, slot, delta)
    if rows:
        # By id, not by range: a transaction that began earlier may still insert a lower id.
        ids = [row.id for row in rows]
        connection.execute(delete(counter_deltas).where(counter_deltas.c.id.in_(ids)))
    return len(rows)


def _add(connection: Connection, slot: Slot, delta: int) -> None:
    same = [counters.c[name] == value for name, value in slot._asdict().items()]
    changed = connection.execute(update(counters).where(*same).values(jobs=counters.c.jobs + delta))
    if not changed.rowcount:
        connection.execute(insert(counters).values(**slot._asdict(), jobs=delta))
