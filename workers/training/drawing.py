"""Which examples of a set a training sees next, which it is measured on, and which of those are answered together."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from workers.models.family import Prepared

MEASURED = 256
"""So many examples of a validation share are measured in the course of a training: it is to learn, not to measure."""
WRITTEN = 96
"""So many of those whose answers are written token by token."""
TOGETHER = 16
"""So many are answered at once."""

T = TypeVar("T")


def shuffled(examples: Sequence[T], size: int, seed: int) -> Iterator[list[T]]:
    """Yield batches without an end: each example once, in an order given by the seed, before any comes again."""
    rng = np.random.default_rng(seed)
    waiting: list[T] = []
    while True:
        while len(waiting) < size:
            waiting += [examples[index] for index in rng.permutation(len(examples))]
        yield waiting[:size]
        waiting = waiting[size:]


def some(examples: Sequence[T], most: int = MEASURED) -> list[T]:
    """Return the examples, or as many of them as are measured: always the same."""
    chosen = np.random.default_rng(0).permutation(len(examples))[:most]
    return [examples[index] for index in sorted(chosen)]


def alike(calls: Sequence[Prepared], answers: Callable[[Sequence[Prepared]], Sequence[T]]) -> list[T]:
    """Answer calls, those of one group together as when they are served, and return the answers in their order."""
    groups: dict[object, list[int]] = {}
    for index, call in enumerate(calls):
        groups.setdefault(call.group, []).append(index)
    found: dict[int, T] = {}
    for places in groups.values():
        for start in range(0, len(places), TOGETHER):
            some_places = places[start : start + TOGETHER]
            found |= zip(some_places, answers([calls[place] for place in some_places]), strict=True)
    return [found[index] for index in range(len(calls))]
