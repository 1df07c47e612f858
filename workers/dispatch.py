"""Ringing for queued jobs: from the database to the broker, in windows.

A doorbell is published first and noted afterwards: a crash between the two rings twice, which claims make harmless; the
other order would lose it. The window keeps what was rung for but has not ended at about two seconds' worth of work, and
at least two batches for each live worker, so that order can still change and no doorbell waits in the broker for long.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from storage.dispatching import (
    Queue,
    Waiting,
    forget_lost_doorbells,
    hold,
    live_queues,
    mark_rung,
    outstanding,
    waiting,
)
from storage.session import Connection, Engine, read, write
from workers.celery_app import IDS_PER_MESSAGE

log = logging.getLogger(__name__)

WINDOW_S = 2.0
WINDOW_MOST = 4_096
RATE_MEMORY = 0.7
"""How much of the rate estimate stays when a new measurement comes."""

Ring = Callable[[str, Sequence[UUID]], None]


@dataclass
class Rate:
    """A queue's recent rate of endings, from how its outstanding jobs went down between two looks."""

    per_s: float = 0.0
    outstanding: int = 0
    at: float = 0.0
    rung_since: int = 0

    def seen(self, outstanding_now: int, now: float) -> None:
        """Take in a new count of outstanding jobs."""
        passed = now - self.at
        if self.at and passed > 0:
            ended = max(self.outstanding + self.rung_since - outstanding_now, 0)
            weight = RATE_MEMORY ** min(passed, 10.0)
            self.per_s = self.per_s * weight + (ended / passed) * (1 - weight)
        self.outstanding, self.at, self.rung_since = outstanding_now, now, 0


@dataclass
class Dispatcher:
    """Rings, round by round. `ring` publishes one message and raises when the broker did not take it."""

    engine: Engine
    ring: Ring
    rering_s: float
    rates: dict[Queue, Rate] = field(default_factory=dict)
    served: dict[Queue, str] = field(default_factory=dict)
    """the tenant who was rung for last, behind whom the next turn begins"""

    def round(self) -> int:
        """Ring for what may be rung for now; return how many jobs."""
        return sum(self._serve(queue, capacity) for queue, capacity in read(self.engine, live_queues).items())

    def forget_lost(self) -> int:
        """Let doorbells that nobody answered be rung again; only for queues that a live worker serves."""
        queues = read(self.engine, live_queues)
        forgotten = sum(write(self.engine, forget_lost_doorbells, queue, self.rering_s) for queue in queues)
        if forgotten:
            log.warning("doorbells went unanswered", extra={"event": "dispatch.reringing", "jobs": forgotten})
        return forgotten

    def _serve(self, queue: Queue, capacity: int) -> int:
        rate = self.rates.setdefault(queue, Rate())
        unended = read(self.engine, outstanding, queue)
        rate.seen(unended, time.monotonic())
        window = min(max(2 * capacity, int(rate.per_s * WINDOW_S)), WINDOW_MOST)
        free = window - unended
        if free <= 0:
            return 0
        rung = self._ring_for(queue, free)
        rate.rung_since += rung
        return rung

    def _ring_for(self, queue: Queue, limit: int) -> int:
        if self.engine.dialect.name == "postgresql":
            return write(self.engine, self._publish_and_mark, queue, limit)
        # SQLite has one writer: a slow broker must not hold its lock. A second dispatcher may ring for the same jobs
        # meanwhile, which is harmless.
        ids = self._publish(queue, read(self.engine, waiting, queue, limit, after=self.served.get(queue, "")))
        if ids:
            write(self.engine, mark_rung, ids)
        return len(ids)

    def _publish_and_mark(self, connection: Connection, queue: Queue, limit: int) -> int:
        if not hold(connection, queue):
            return 0
        ids = self._publish(queue, waiting(connection, queue, limit, after=self.served.get(queue, "")))
        if ids:
            mark_rung(connection, ids)
        return len(ids)

    def _publish(self, queue: Queue, found: Sequence[Waiting]) -> list[UUID]:
        ids = [one.id for one in found]
        for start in range(0, len(ids), IDS_PER_MESSAGE):
            self.ring(queue.name, ids[start : start + IDS_PER_MESSAGE])
        if found:
            self.served[queue] = found[-1].tenant
        return ids
