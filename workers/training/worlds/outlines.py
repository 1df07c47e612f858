"""Outlines: polygons in a square from -1 to 1 (x to the right, y downwards), and the curves they are made of.

It knows what a curve is, not what a fish looks like: that is told in `shapes` and `figures`.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""N×2, (x, y)."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A silhouette: what is filled, and what is painted on it in another tone."""

    solid: tuple[Points, ...]
    details: tuple[Points, ...] = ()


_ANGLES = 2 * np.pi * np.linspace(0, 1, 33)


def path(*points: tuple[float, float]) -> Points:
    """Return a polygon with these corners."""
    return np.array(points, dtype=np.float64)


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Return a rectangle."""
    return path((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def ellipse(x: float, y: float, across: float, down: float) -> Points:
    """Return an ellipse about (x, y) with these radii."""
    return np.array([x + across * np.cos(_ANGLES), y + down * np.sin(_ANGLES)]).T


def disc(x: float, y: float, radius: float) -> Points:
    """Return a circle."""
    return ellipse(x, y, radius, radius)


def stroke(width: float, *points: tuple[float, float]) -> tuple[Points, ...]:
    """Return a line of some width through points, with round ends and joints, as several polygons."""
    found: list[Points] = [disc(x, y, width / 2) for x, y in points]
    for start, end in pairwise(points):
        along = np.subtract(end, start)
        beside = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9) * width / 2
        found.append(np.array([start + beside, end + beside, end - beside, start - beside]))
    return tuple(found)


def bent(*points: tuple[float, float]) -> Points:
    """Return a closed smooth curve through points (Catmull and Rom, 1974)."""
    through = np.array(points, dtype=np.float64)
    before, after, beyond = np.roll(through, 1, axis=0), np.roll(through, -1, axis=0), np.roll(through, -2, axis=0)
    share = np.linspace(0, 1, 8, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * through
        + (after - before) * share
        + (2 * before - 5 * through + 4 * after - beyond) * share**2
        + (3 * through - before - 3 * after + beyond) * share**3
    )
    return curve.transpose(1, 0, 2).reshape(-1, 2)


def turned(points: Points, degrees: float) -> Points:
    """Return points turned about the middle, clockwise as it is seen."""
    angle = np.radians(degrees)
    return np.asarray(points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]))


def moved(points: Points, x: float, y: float, scale: float = 1.0) -> Points:
    """Return points made larger or smaller about the middle, then moved."""
    return np.asarray(points * scale + np.array([x, y]))
