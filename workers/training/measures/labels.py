"""Labels against the right ones: how many are right, and of each label how many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.training.measures.intervals import wilson


@dataclass(frozen=True)
class Rate:
    """A share that was counted; None of nothing."""

    hits: int
    count: int

    @property
    def share(self) -> float | None:
        """The share, in [0, 1]."""
        return self.hits / self.count if self.count else None

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95% confidence interval (Wilson 1927)."""
        return wilson(self.hits, self.count)


@dataclass(frozen=True)
class PerLabel:
    """Of what was called so, how much is so; and of what is so, how much was called so."""

    precision: Rate
    recall: Rate

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; None where the label neither is nor was given."""
        called, are = self.precision.count, self.recall.count
        return 2 * self.recall.hits / (called + are) if called + are else None

    @property
    def f1_interval(self) -> tuple[float, float]:
        """The 95% interval of F1 = 2J / (1 + J), where J is the share of right ones in all that are or were called so.

        J is a counted share, so that it has Wilson's interval, and F1 only grows with it.
        """
        hits = self.recall.hits
        low, high = wilson(hits, self.precision.count + self.recall.count - hits)
        return 2 * low / (1 + low), 2 * high / (1 + high)


def accuracy(predicted: Sequence[str], right: Sequence[str]) -> float:
    """Return the share of labels that are right, in [0, 1]. Raises ValueError where there are none."""
    if not right:
        raise ValueError("no labels")
    return sum(one == other for one, other in zip(predicted, right, strict=True)) / len(right)


def per_label(predicted: Sequence[str], right: Sequence[str]) -> dict[str, PerLabel]:
    """Return precision and recall of each label that is or was given, by name."""
    pairs = list(zip(predicted, right, strict=True))
    return {
        label: PerLabel(
            precision=Rate(sum(p == r == label for p, r in pairs), sum(p == label for p, _ in pairs)),
            recall=Rate(sum(p == r == label for p, r in pairs), sum(r == label for _, r in pairs)),
        )
        for label in sorted({*predicted, *right})
    }


def confusion(predicted: Sequence[str], right: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return how often each label (row) was called each (column), in the order of `labels`, which holds them all."""
    place = {label: index for index, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for one, other in zip(predicted, right, strict=True):
        table[place[other], place[one]] += 1
    return table
