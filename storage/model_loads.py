"""What each worker's models weigh, and how often they were loaded and evicted: one row for each worker and model.

A worker replaces its own rows and nobody else's, so that nothing is counted twice however often it tells. The rows of a
worker that ended stay, so that the sums over all of them never fall.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self
from uuid import UUID

from sqlalchemy import Connection, case, delete, func, insert, select

from storage.clock import moment
from storage.tables import model_loads, workers


class ModelTally(NamedTuple):
    """Of one model on one device: its loads, its evictions, loads soon after an eviction, and what it weighs now."""

    model: str
    device: str
    loads: int
    evictions: int
    thrashes: int
    resident_bytes: int
    """0 while it is not loaded"""

    def since(self, before: Self) -> Self:
        """Return what was counted since then; what it weighs is as now."""
        return self._replace(
            loads=self.loads - before.loads,
            evictions=self.evictions - before.evictions,
            thrashes=self.thrashes - before.thrashes,
        )


def tell(connection: Connection, worker: UUID, tallies: Sequence[ModelTally]) -> None:
    """Write a worker's tallies in place of those that it told before."""
    connection.execute(delete(model_loads).where(model_loads.c.worker == worker))
    if tallies:
        connection.execute(insert(model_loads), [{"worker": worker, **tally._asdict()} for tally in tallies])


def totals(connection: Connection) -> list[ModelTally]:
    """Return the sums for each model and device: of counts over all workers, of bytes over those with a lease."""
    live = workers.c.ended_at.is_(None) & (workers.c.lease_until > moment())
    held = case((live, model_loads.c.resident_bytes), else_=0)
    counts = (model_loads.c.loads, model_loads.c.evictions, model_loads.c.thrashes, held)
    kind = (model_loads.c.model, model_loads.c.device)
    summed = (
        select(*kind, *(func.sum(count) for count in counts))
        .join(workers, workers.c.id == model_loads.c.worker)
        .group_by(*kind)
        .order_by(*kind)
    )
    rows = connection.execute(summed).all()
    return [ModelTally(model, device, *map(int, sums)) for model, device, *sums in rows]
