"""How a training goes over time: how long it takes, how fast it learns, when it gives up."""

import math
import os
from dataclasses import dataclass, field

WARM_UP = 0.04
"""The share of a training over which its rate rises from zero."""
FINAL_RATE = 0.02
"""The rate at the end, as a share of the highest."""


@dataclass(frozen=True)
class Schedule:
    """How long a training takes, how fast it learns, and when it gives up.

    `rate` is the highest of the rates; the rate follows the clock (`rate_at`). The network is measured `rounds` times,
    at even intervals; when `patience` rounds in a row were no better than the best before them, it ends.
    """

    minutes: float
    rate: float = 1e-3
    decay: float = 5e-4
    seed: int = 0
    rounds: int = 10
    patience: int = 4
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)


def rate_at(share: float) -> float:
    """Return the rate as a share of the highest: a linear rise, then a cosine fall (Loshchilov and Hutter, 2017)."""
    if share < WARM_UP:
        return max(share / WARM_UP, 0.02)
    fall = min((share - WARM_UP) / (1 - WARM_UP), 1.0)
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * fall)) / 2
