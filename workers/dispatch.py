"""Ringing for queued jobs: from the database to the broker, in windows.

A doorbell is published first and noted afterwards: a crash between the two rings twice, which claims make harmless; the
other order would lose it. The window keeps what was rung for but has not ended at about two seconds' worth of work, and
at least two batches for each live worker, so that order can still change and no doorbell waits in the broker for long.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from storage.dispatching import (
    Queue,
    Waiting,
    due_queues,
    forget_lost_doorbells,
    hold,
    live_queues,
    mark_rung,
    outstanding,
    spare_workers,
    waiting,
)
from storage.session import Connection, Engine, read, write
from workers.celery_app import BROKER_ERRORS, IDS_PER_MESSAGE

log = logging.getLogger(__name__)

WINDOW_S = 2.0
WINDOW_MOST = 4_096
RATE_MEMORY = 0.7
"""How much of the rate estimate stays when a new measurement comes."""
PATIENCE_S = 15.0
"""How long a round goes on although the broker refused: while it is silent, each queue costs its time-out."""

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
    spare_since: dict[UUID, float] = field(default_factory=dict)
    """since when a worker has had a thread free at every look, on the monotonic clock"""
    refused: set[Queue] = field(default_factory=set)
    """the queues for which the broker took nothing in the last round"""

    def round(self) -> int:
        """Ring for what may be rung for now; return how many jobs.

        One queue that the broker refuses (RabbitMQ judges each by itself) starves no other: all are tried, those that
        were refused the last time at the end. Then the first refusal is raised.
        """
        begun, rung, errors = time.monotonic(), 0, dict[Queue, Exception]()
        queues = read(self.engine, due_queues)
        for queue in sorted(queues, key=self.refused.__contains__):
            try:
                rung += self._serve(queue, queues[queue])
            except BROKER_ERRORS as error:
                errors[queue] = error
                if time.monotonic() - begun > PATIENCE_S:
                    break
        self.refused = set(errors)
        if errors:
            raise next(iter(errors.values()))
        return rung

    def forget_lost(self) -> int:
        """Let doorbells that nobody answered be rung again; only for queues that a live worker serves."""
        queues = read(self.engine, live_queues)
        forgotten = self._forget(queues, self.rering_s)
        if forgotten:
            log.warning("doorbells went unanswered", extra={"event": "dispatch.reringing", "jobs": forgotten})
        return forgotten

    def share(self) -> int:
        """Let what waits in one worker's ears be rung for again where another has had a thread to spare for long.

        A message of many ids goes to one worker, which says of them that they are not lost; while it is busy with long
        jobs, another may have nothing to do. Whoever of the two takes the new message, the claims stay single.
        """
        now, spare = time.monotonic(), read(self.engine, spare_workers)
        self.spare_since = {worker: self.spare_since.get(worker, now) for worker in spare}
        long = [worker for worker, since in self.spare_since.items() if now - since >= self.rering_s]
        # What was rung for just now is on its way to be claimed.
        shared = self._forget({queue for worker in long for queue in spare[worker]}, self.rering_s / 8)
        if shared:
            self.spare_since = {}
            log.info("what waits is shared", extra={"event": "dispatch.sharing", "jobs": shared})
        return shared

    def _forget(self, queues: Iterable[Queue], after_s: float) -> int:
        total = 0
        for queue in queues:
            forgotten = write(self.engine, forget_lost_doorbells, queue, after_s)
            # They have not ended: the rate must not rise by them, or the window would, and with it what is rung for.
            self.rates.setdefault(queue, Rate()).outstanding -= forgotten
            total += forgotten
        return total

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
        found = read(self.engine, waiting, queue, limit, after=self.served.get(queue, ""))
        self._publish(queue, found)
        if found:
            write(self.engine, mark_rung, found)
        return len(found)

    def _publish_and_mark(self, connection: Connection, queue: Queue, limit: int) -> int:
        if not hold(connection, queue):
            return 0
        found = waiting(connection, queue, limit, after=self.served.get(queue, ""))
        self._publish(queue, found)
        mark_rung(connection, found)
        return len(found)

    def _publish(self, queue: Queue, found: Sequence[Waiting]) -> None:
        for start in range(0, len(found), IDS_PER_MESSAGE):
            self.ring(queue.name, [one.id for one in found[start : start + IDS_PER_MESSAGE]])
        if found:
            self.served[queue] = found[-1].tenant
