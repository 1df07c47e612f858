"""Grouping calls in flight, per model. No torch, no thread, no clock of its own: all of it is told the time.

A batch closes when it is full (by count or by pixels), when its oldest call has waited long enough, or when nothing
else is in flight that could join. Order: earliest deadline, then lane, then age. Calls of different groups (say, input
sizes) never share a batch.
"""

import math
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from workers.models.family import Prepared


@dataclass(eq=False)
class Call:
    """A call that waits for its batch. Times are seconds on one monotonic clock."""

    prepared: Prepared
    job: UUID
    lane: int
    deadline: float
    at: float
    answer: Future["Answered"] = field(default_factory=Future)

    @property
    def order(self) -> tuple[float, int, float]:
        """By this calls are served."""
        return self.deadline, self.lane, self.at


@dataclass(frozen=True)
class Answered:
    """An answer, and how its batch went."""

    value: Any
    batch_size: int
    waited_s: float
    ran_s: float


@dataclass
class Batcher:
    """The calls that wait for one model."""

    max_batch: int
    max_pixels: int
    max_wait_s: float
    waiting: list[Call] = field(default_factory=list)
    safe: dict[Hashable, int] = field(default_factory=dict)
    """the batch size that fitted after memory ran out, by group"""

    def add(self, call: Call) -> None:
        """Let a call wait."""
        self.waiting.append(call)

    def withdraw(self, call: Call) -> bool:
        """Take a call back that has not been taken into a batch; say whether it still waited."""
        if call in self.waiting:
            self.waiting.remove(call)
            return True
        return False

    def closes_at(self, now: float, *, others_may_join: bool) -> float:
        """Return when the next batch closes: `now` if it does already, infinity while nothing waits."""
        if not self.waiting:
            return math.inf
        batch = self._next()
        if not others_may_join or self._full(batch):
            return now
        # The oldest of all, not of this batch: one of another group must not wait for a more urgent one to ripen.
        return min(call.at for call in self.waiting) + self.max_wait_s

    def urgency(self) -> tuple[float, int, float]:
        """Return the order of the most urgent call, by which models share a device."""
        return min(call.order for call in self.waiting)

    def take(self) -> list[Call]:
        """Take the next batch."""
        batch = self._next()
        taken = set(map(id, batch))
        self.waiting = [call for call in self.waiting if id(call) not in taken]
        return batch

    def too_large(self, group: Hashable, size: int) -> None:
        """Remember that memory ran out at this size."""
        self.safe[group] = max(1, min(size // 2, self.safe.get(group, self.max_batch)))

    def limit(self, group: Hashable) -> int:
        """Return how many calls of a group may share a batch."""
        return min(self.max_batch, self.safe.get(group, self.max_batch))

    def _next(self) -> list[Call]:
        ordered = sorted(self.waiting, key=lambda call: call.order)
        group = ordered[0].prepared.group
        batch: list[Call] = []
        pixels = 0
        for call in ordered:
            if call.prepared.group != group:
                continue
            pixels += call.prepared.pixels
            if batch and (len(batch) >= self.limit(group) or pixels > self.max_pixels):
                break
            batch.append(call)
        return batch

    def _full(self, batch: list[Call]) -> bool:
        group = batch[0].prepared.group
        if len(batch) >= self.limit(group) or sum(call.prepared.pixels for call in batch) >= self.max_pixels:
            return True
        # Another call of the group is waiting but did not fit: by pixels, then, the batch is full.
        return sum(call.prepared.group == group for call in self.waiting) > len(batch)
