"""How sure a figure is that was counted or averaged over a sample."""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Z = 1.959963984540054
"""The 0.975 quantile of the normal distribution: two-sided 95%."""
RESAMPLES = 1000
SEED = 0


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95% score interval of a share (Wilson 1927); (0, 1) of a sample of none.

    It keeps its coverage for small samples and shares near 0 or 1, where the normal interval does not (Brown, Cai and
    DasGupta 2001). Raises ValueError unless 0 <= hits <= count.
    """
    if not 0 <= hits <= count:
        raise ValueError(f"{hits} hits of {count}")
    if count == 0:
        return 0.0, 1.0
    share, square = hits / count, Z * Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z * sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return (0.0 if hits == 0 else low), (1.0 if hits == count else high)


def ratio_bootstrap(parts: Sequence[float], wholes: Sequence[float]) -> tuple[float, float]:
    """Return the 95% percentile interval of sum(parts) / sum(wholes), sampled with replacement (Efron 1979).

    The same data give the same interval. Raises ValueError where there is nothing to sample from.
    """
    if not len(parts) == len(wholes) > 0:
        raise ValueError(f"{len(parts)} parts of {len(wholes)} wholes")
    above, below = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)

    def ratio(drawn: npt.NDArray[np.intp]) -> float:
        whole = below[drawn].sum()
        return float(above[drawn].sum() / whole) if whole else 0.0

    return bootstrap(len(above), ratio)


def bootstrap(
    count: int, figure: Callable[[npt.NDArray[np.intp]], Any], resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the 95% percentile interval of a figure of `count` things, given the positions that were drawn."""
    rng = np.random.default_rng(SEED)
    figures = [float(figure(rng.integers(count, size=count))) for _ in range(resamples)]
    low, high = np.quantile(figures, (0.025, 0.975))
    return float(low), float(high)
