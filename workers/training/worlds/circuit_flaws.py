"""What can be wrong with a board's copper: each returns the copper with one flaw more, or None where there is no place.

The six kinds are those that inspection of bare boards tells apart: a trace that is cut or bitten into, one that reaches
out or over to its neighbour, copper where none belongs, and a hole in it.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Copper = npt.NDArray[np.uint8]
"""H × W: 1 where there is copper, 0 elsewhere."""
Vector = npt.NDArray[np.float64]

FARTHEST = 40
"""A short reaches no farther, in pixels."""
WIDEST = 26
"""A trace that is wider is not cut."""


def cut(rng: np.random.Generator, copper: Copper) -> Copper | None:
    """Cut a trace in two."""
    place = _edge(rng, copper)
    if place is None:
        return None
    point, outward = place
    width = _run(copper, point, -outward, WIDEST)
    if width is None:
        return None
    made, gap = copper.copy(), rng.integers(3, 9)
    for share in np.linspace(-0.1, 1.1, 7):
        middle = point - outward * width * share + rng.uniform(-1, 1, 2)
        cv2.circle(made, _pixel(middle), int(gap // 2 + rng.integers(0, 2)), 0, -1)
    return made if _parts(made) > _parts(copper) else None


def bridge(rng: np.random.Generator, copper: Copper) -> Copper | None:
    """Join two edges that face each other."""
    place = _edge(rng, copper)
    if place is None:
        return None
    point, outward = place
    distance = _run(1 - copper, point + 1.5 * outward, outward, FARTHEST)
    if distance is None or distance < 4:
        return None
    made = copper.copy()
    middle = point + outward * distance / 2 + rng.uniform(-2, 2, 2)
    line = np.round([point - outward, middle, point + outward * (distance + 3)]).astype(np.int32)
    cv2.polylines(made, [line], False, 1, int(rng.integers(3, 7)))
    return made


def bite(rng: np.random.Generator, copper: Copper) -> Copper | None:
    """Take a bite out of an edge that leaves the trace whole."""
    place = _edge(rng, copper)
    if place is None:
        return None
    point, outward = place
    width = _run(copper, point, -outward, 80) or 80.0
    radius = rng.uniform(2.5, 6.5)
    made = _blob(rng, copper, point - outward * rng.uniform(0, 0.3) * radius, radius, 0)
    return made if radius < 0.7 * width and _parts(made) == _parts(copper) else None


def spur(rng: np.random.Generator, copper: Copper) -> Copper | None:
    """Let copper reach out of an edge, and not as far as anything else."""
    place = _edge(rng, copper)
    if place is None:
        return None
    point, outward = place
    radius = rng.uniform(2.5, 6.5)
    room = _run(1 - copper, point + 1.5 * outward, outward, FARTHEST) or FARTHEST
    made = _blob(rng, copper, point + outward * rng.uniform(0, 0.4) * radius, radius, 1)
    return made if room > 2.2 * radius + 3 and _parts(1 - made) == _parts(1 - copper) else None


def speck(rng: np.random.Generator, copper: Copper) -> Copper | None:
    """Put copper where there is none around."""
    radius = rng.uniform(2.5, 7.5)
    middle = _deep(rng, 1 - copper, 2 * radius + 3)
    return None if middle is None else _blob(rng, copper, middle, radius, 1)


def hole(rng: np.random.Generator, copper: Copper) -> Copper | None:
    """Make a hole with copper all around."""
    radius = rng.uniform(2.5, 5.5)
    middle = _deep(rng, copper, 1.3 * radius + 2)
    if middle is None:
        return None
    made = copper.copy()
    cv2.ellipse(made, _pixel(middle), (round(radius), round(radius * rng.uniform(0.7, 1.2))), 0, 0, 360, 0, -1)
    return made


FLAWS: dict[str, Callable[[np.random.Generator, Copper], Copper | None]] = {
    "open": cut,
    "short": bridge,
    "mousebite": bite,
    "spur": spur,
    "copper": speck,
    "pin-hole": hole,
}


def _edge(rng: np.random.Generator, copper: Copper) -> tuple[Vector, Vector] | None:
    """Return a point (x, y) on the edge of copper, off the picture's own, and the direction out of it; None if none."""
    inside, outside = (cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (copper, 1 - copper))
    rows, columns = np.nonzero((inside > 0) & (inside < 1.5))
    if not rows.size:
        return None
    at = int(rng.integers(rows.size))
    y, x = int(rows[at]), int(columns[at])
    height, width = copper.shape
    if not (12 <= x < width - 12 and 12 <= y < height - 12):
        return None
    near = cv2.GaussianBlur((outside - inside)[y - 6 : y + 7, x - 6 : x + 7], (0, 0), 1.5)
    slope = np.array([near[6, 8] - near[6, 4], near[8, 6] - near[4, 6]], dtype=np.float64)
    length = float(np.hypot(*slope))
    return None if length < 0.5 else (np.array([x, y], dtype=np.float64), slope / length)


def _run(mask: Copper, start: Vector, direction: Vector, most: int) -> float | None:
    """Return how far the mask goes on from a point in a direction; None where that is more than `most`."""
    height, width = mask.shape
    for step in np.arange(0, most, 0.5):
        x, y = np.round(start + direction * step).astype(int)
        if not (0 <= x < width and 0 <= y < height):
            return None
        if not mask[y, x]:
            return float(step)
    return None


def _deep(rng: np.random.Generator, mask: Copper, room: float) -> Vector | None:
    """Return a point (x, y) of the mask that is at least so far from its edge and the picture's; None if none is."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    rows, columns = np.nonzero(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1] > room)
    if not rows.size:
        return None
    at = int(rng.integers(rows.size))
    return np.array([columns[at], rows[at]], dtype=np.float64)


def _blob(rng: np.random.Generator, copper: Copper, middle: Vector, radius: float, level: int) -> Copper:
    """Return the copper with a ragged patch of that level."""
    made = copper.copy()
    for _ in range(4):
        cv2.circle(made, _pixel(middle + rng.normal(0, radius / 2.5, 2)), max(1, round(radius / 1.7)), level, -1)
    return made


def _pixel(point: Vector) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _parts(mask: Copper) -> int:
    """Return of how many pieces a mask is."""
    return int(cv2.connectedComponents(mask)[0])
