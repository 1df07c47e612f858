"""Grouping calls in flight, per model. No torch, no thread, no clock of its own: all of it is told the time.

A batch closes when it is full (by count, by pixels or by tokens), when its oldest call has waited long enough, or when
nothing else is in flight that could join. Calls of different groups (say, input sizes) never share a batch.

Order: earliest deadline, then lane, then age. That alone would let a stream of urgent calls keep another waiting for
ever, so a call that `PATIENCE` batches went before goes next, whatever comes: the oldest such call first. It holds
between the groups of a model and between the models of a device alike.

A job has one call at a time, so no more calls wait here than the process has job threads. That bounds the memory of
this queue, and a job thread that waits claims no other job.
"""

import math
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import accumulate
from operator import attrgetter
from typing import Any, Self
from uuid import UUID

from workers.models.family import Prepared
from workers.registry import ModelSpec

PATIENCE = 8
"""So many batches that a call might have been in may go before it."""


@dataclass(eq=False)
class Call:
    """A call that waits for its batch. Times are seconds on one monotonic clock."""

    prepared: Prepared
    job: UUID
    lane: int
    deadline: float
    at: float
    answer: Future["Answered"] = field(default_factory=Future)
    passed: int = 0
    """how many batches went before it"""
    order: tuple[float, int, float] = field(init=False)
    """by this calls are served"""

    def __post_init__(self) -> None:
        self.order = self.deadline, self.lane, self.at

    def passed_over(self) -> None:
        """Count a batch that went before it."""
        self.passed += 1
        if self.passed >= PATIENCE:
            self.order = -math.inf, 0, self.at


ORDER: Callable[[Call], tuple[float, int, float]] = attrgetter("order")


@dataclass(frozen=True)
class Answered:
    """An answer, and how its batch went."""

    value: Any
    batch_size: int
    waited_s: float
    ran_s: float


@dataclass(eq=False)
class Batcher:
    """The calls that wait for one model."""

    max_batch: int
    max_pixels: float
    max_wait_s: float
    max_tokens: float = math.inf
    safe: dict[Hashable, int] = field(default_factory=dict)
    """the batch size that fitted after memory ran out, by group"""
    waiting: list[Call] = field(default_factory=list)

    @classmethod
    def of(cls, spec: ModelSpec, safe: dict[Hashable, int] | None = None) -> Self:
        """Return a batcher with a model's limits; what did not fit before is kept in `safe`."""
        limits = spec.max_batch, spec.max_pixels, spec.max_wait_ms / 1000, spec.max_tokens
        return cls(*limits, safe={} if safe is None else safe)

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
        if not others_may_join or self._full():
            return now
        # The oldest of all, not of this batch: one of another group must not wait for a more urgent one to ripen.
        return min(call.at for call in self.waiting) + self.max_wait_s

    def urgency(self) -> tuple[float, int, float]:
        """Return the order of the most urgent call, by which models share a device."""
        return min(map(ORDER, self.waiting))

    def take(self) -> list[Call]:
        """Take the next batch. It goes before all that wait on."""
        batch = self._fitting(sorted(self._alike(), key=ORDER))
        taken = set(map(id, batch))
        self.waiting = [call for call in self.waiting if id(call) not in taken]
        self.passed_over()
        return batch

    def passed_over(self) -> None:
        """Count a batch that went before all that wait."""
        for call in self.waiting:
            call.passed_over()

    def too_large(self, group: Hashable, size: int) -> None:
        """Remember that memory ran out at this size."""
        self.safe[group] = max(1, min(size // 2, self.safe.get(group, self.max_batch)))

    def limit(self, group: Hashable) -> int:
        """Return how many calls of a group may share a batch."""
        return min(self.max_batch, self.safe.get(group, self.max_batch))

    def _alike(self) -> list[Call]:
        """Return the most urgent call and all that could share a batch with it, as they came."""
        group = min(self.waiting, key=ORDER).prepared.group
        return [call for call in self.waiting if call.prepared.group == group]

    def _fitting(self, alike: list[Call]) -> list[Call]:
        """Return as many of the first calls as fit into one batch; the very first does, however large it is."""
        pixels = accumulate(call.prepared.pixels for call in alike)
        tokens = accumulate(call.prepared.tokens for call in alike)
        within = alike[: self.limit(alike[0].prepared.group)]
        fitting = [
            call
            for call, so_far, written in zip(within, pixels, tokens, strict=False)
            if so_far <= self.max_pixels and written <= self.max_tokens
        ]
        return fitting or alike[:1]

    def _full(self) -> bool:
        """Say whether no other call has room. Asked each time that one comes: so without putting them in order."""
        alike = self._alike()
        return (
            len(alike) >= self.limit(alike[0].prepared.group)
            or sum(call.prepared.pixels for call in alike) >= self.max_pixels
            or sum(call.prepared.tokens for call in alike) >= self.max_tokens
        )


def next_batcher(batchers: Iterable[Batcher], now: float, *, others_may_join: bool) -> Batcher | None:
    """Return the one, of those that share a device, whose batch goes next; None where none has closed.

    Its batch is to be taken at once: it counts as gone before all others that have closed.
    """
    closed = [each for each in batchers if each.closes_at(now, others_may_join=others_may_join) <= now]
    first = min(closed, key=Batcher.urgency, default=None)
    for each in closed:
        if each is not first:
            each.passed_over()
    return first
