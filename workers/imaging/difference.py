"""Where a picture differs from its registered reference: a difference that tolerates edges which are a little off.

The golden-template comparison of binary morphology, in grey: a pixel differs by how far it lies outside of what the
other picture shows within some pixels of it. A shifted edge lies inside; a spot that is missing or added does not.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from domain.geometry import Box

Pixels = npt.NDArray[np.uint8]
Levels = npt.NDArray[np.uint8]

TOLERANCE = 1
"""By so many pixels an edge may lie elsewhere in the two."""


def difference(picture: Pixels, reference: Pixels, tolerance: int = TOLERANCE) -> Levels:
    """Return by how many grey levels two pictures differ, H × W; of three colours (H × W × 3) the most.

    Symmetric: what is only in the one counts as what is only in the other.
    """
    kernel = np.ones((2 * tolerance + 1, 2 * tolerance + 1), dtype=np.uint8)
    beyond = [
        cv2.subtract(one, cv2.dilate(other, kernel))
        for one, other in ((picture, reference), (reference, picture), (~picture, ~reference), (~reference, ~picture))
    ]
    return np.asarray(np.max(beyond, axis=0 if picture.ndim == 2 else (0, 3)), dtype=np.uint8)


@dataclass(frozen=True)
class Candidate:
    """A spot where two pictures differ, and how much: the sum of its levels."""

    box: Box
    weight: float


def candidates(levels: Levels, threshold: int, smallest: int) -> list[Candidate]:
    """Return the spots of at least `smallest` pixels above the threshold, the heaviest first.

    Pixels that touch, corners included, are one spot.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((levels > threshold).astype(np.uint8), connectivity=8)
    weights = np.bincount(labels.ravel(), weights=levels.ravel(), minlength=count)
    found = [
        Candidate(Box(x0=x, y0=y, x1=x + width, y1=y + height), float(weight))
        for (x, y, width, height, area), weight in zip(stats[1:].tolist(), weights[1:], strict=True)
        if area >= smallest
    ]
    return sorted(found, key=lambda one: -one.weight)
