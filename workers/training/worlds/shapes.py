"""Simple shapes as outlines: each function draws one of its kind, a little different each time."""

import numpy as np

from workers.training.worlds.outlines import Outline, Points, box, disc, path

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
