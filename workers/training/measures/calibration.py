"""How well scores say how often a model is right."""

from collections.abc import Sequence

import numpy as np

BINS = 15
"""As in Guo et al. 2017, On calibration of modern neural networks."""


def expected_error(scores: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """Return the expected calibration error: by how much the score differs from the share that is right.

    The mean over equally wide bins of [0, 1], each weighed by its answers (Naeini et al. 2015). Raises ValueError
    where there are no answers, or where scores and rights differ in number.
    """
    if not len(scores) == len(right) > 0:
        raise ValueError(f"{len(scores)} scores of {len(right)} answers")
    sure, hit = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    places = np.minimum((sure * bins).astype(np.intp), bins - 1)
    gaps = np.bincount(places, hit - sure, bins)
    return float(np.abs(gaps).sum() / len(sure))
