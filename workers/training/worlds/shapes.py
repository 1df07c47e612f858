"""Simple shapes as outlines: each function draws one of its kind, a little different each time."""

import numpy as np

from workers.training.worlds.outlines import Outline, Points, bent, box, disc, ellipse, path, turned

Random = np.random.Generator


def circle(rng: Random) -> Outline:
    """A disc."""
    return Outline((disc(0, 0, 1),))


def square(rng: Random) -> Outline:
    """Four equal sides."""
    return Outline((box(-0.9, -0.9, 0.9, 0.9),))


def triangle(rng: Random) -> Outline:
    """Three corners, one on top."""
    return Outline((path((rng.uniform(-0.2, 0.2), -0.9), (0.95, 0.8), (-0.95, 0.8)),))


def _spikes(count: int, inner: float) -> Points:
    radii = np.where(np.arange(2 * count) % 2 == 0, 1.0, inner)
    angles = np.pi * np.arange(2 * count) / count - np.pi / 2
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def star(rng: Random) -> Outline:
    """Five points."""
    return Outline((_spikes(5, rng.uniform(0.36, 0.46)),))


def heart(rng: Random) -> Outline:
    """Two arcs above, a point below."""
    angle = np.linspace(0, 2 * np.pi, 60)
    x = 16 * np.sin(angle) ** 3
    y = -(13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle))
    return Outline((np.stack([x, y], axis=1) / 16,))


def cross(rng: Random) -> Outline:
    """Two equal bars across each other."""
    half = rng.uniform(0.24, 0.36)
    return Outline((box(-half, -0.95, half, 0.95), box(-0.95, -half, 0.95, half)))


def arrow(rng: Random) -> Outline:
    """A shaft with a head, to any of the four sides."""
    shaft, head = rng.uniform(0.17, 0.28), rng.uniform(0.55, 0.75)
    neck = rng.uniform(0.0, 0.25)
    points = path((-1, -shaft), (neck, -shaft), (neck, -head), (1, 0), (neck, head), (neck, shaft), (-1, shaft))
    return Outline((turned(points, 90 * float(rng.integers(4))),))


def ring(rng: Random) -> Outline:
    """A disc with a wide round hole."""
    return Outline((disc(0, 0, 1),), holes=(disc(0, 0, rng.uniform(0.5, 0.68)),))


def crescent(rng: Random) -> Outline:
    """What another disc leaves of a disc."""
    return Outline((disc(0, 0, 1),), holes=(disc(rng.uniform(0.42, 0.55), rng.uniform(-0.15, 0.15), 0.82),))


def bolt(rng: Random) -> Outline:
    """A flash of lightning."""
    step = rng.uniform(-0.08, 0.08)
    return Outline(
        (path((0.25, -1), (-0.6, 0.15 + step), (-0.05, 0.15 + step), (-0.3, 1), (0.6, -0.2 + step), (0.05, -0.2)),)
    )


def cloud(rng: Random) -> Outline:
    """Heaps on a flat ground."""
    left, right = rng.uniform(0.3, 0.38), rng.uniform(0.3, 0.38)
    heaps = (disc(-0.58, 0.25, left), disc(-0.15, -0.1, 0.46), disc(0.35, 0.02, 0.4), disc(0.66, 0.28, right))
    return Outline((*heaps, box(-0.6, 0.1, 0.66, 0.6)))


def drop(rng: Random) -> Outline:
    """Round below, a point above."""
    round_part = ellipse(0, 0.35, 0.62, 0.6, -20, 200)
    return Outline((np.concatenate([round_part, path((-0.25, -0.4), (0, -1), (0.25, -0.4))]),))


def leaf(rng: Random) -> Outline:
    """Pointed at both ends, with a stalk and a rib."""
    wide = rng.uniform(0.42, 0.58)
    blade = np.concatenate([bent((0, -1), (wide, -0.2), (0, 0.7), (-wide, -0.2))])
    return Outline((blade, box(-0.06, 0.6, 0.06, 1)), details=(path((-0.03, 0.7), (0, -0.8), (0.03, 0.7)),))
