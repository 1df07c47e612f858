"""What the drawn scenes stand on: grounds in two related colours. `TRAINING` and `HELD_OUT` share no member."""

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.training.worlds.textures import Field, Size, noise

Random = np.random.Generator
Weights = npt.NDArray[Any]
"""A weight for each pixel, H×W in about [0, 1], between a ground's two colours."""
Ground = Callable[[Random, Size], Weights]


def _grid(rng: Random, size: Size) -> tuple[Weights, Weights]:
    """Return the coordinates of each pixel along and across some direction, in shares of the shorter side."""
    angle = rng.uniform(0, np.pi)
    x = np.arange(size[1], dtype=np.float32)[None, :] / min(size)
    y = np.arange(size[0], dtype=np.float32)[:, None] / min(size)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def plain(rng: Random, size: Size) -> Weights:
    """One colour."""
    return np.zeros(size, dtype=np.float32)


def gradient(rng: Random, size: Size) -> Weights:
    """From one colour to the other."""
    along, _ = _grid(rng, size)
    return np.asarray((along - along.min()) / (along.max() - along.min()))


def stripes(rng: Random, size: Size) -> Weights:
    """Bands with hard edges."""
    along, _ = _grid(rng, size)
    return ((along * np.float32(rng.uniform(3, 12))) % 1 < np.float32(rng.uniform(0.3, 0.7))).astype(np.float32)


def checks(rng: Random, size: Size) -> Weights:
    """Squares in turn."""
    along, across = _grid(rng, size)
    many = np.float32(rng.uniform(3, 10))
    return ((np.floor(along * many) + np.floor(across * many)) % 2).astype(np.float32)


def dots(rng: Random, size: Size) -> Weights:
    """Round spots in rows."""
    along, across = _grid(rng, size)
    many = np.float32(rng.uniform(4, 10))
    u, v = (along * many) % 1 - 0.5, (across * many) % 1 - 0.5
    return (u * u + v * v < np.float32(rng.uniform(0.03, 0.12))).astype(np.float32)


def blotches(rng: Random, size: Size) -> Weights:
    """Soft patches of any size."""
    cell = min(size) * rng.uniform(0.06, 0.5)
    return np.asarray(np.clip(0.5 + 0.4 * noise(rng, size, (cell, cell)), 0, 1))


def speckle(rng: Random, size: Size) -> Weights:
    """Grain, fine or coarse."""
    cell = max(1.0, min(size) * rng.uniform(0.01, 0.03))
    return np.asarray(np.clip(0.5 + 0.3 * noise(rng, size, (cell, cell)), 0, 1))


def planks(rng: Random, size: Size) -> Weights:
    """Boards with joints and a grain along them."""
    along, _ = _grid(rng, size)
    many = np.float32(rng.uniform(3, 8))
    joints = ((along * many) % 1 < 0.07).astype(np.float32)
    return np.asarray(np.clip(0.4 + 0.2 * noise(rng, size, (2.0, min(size) * 0.3)) + joints, 0, 1))


def waves(rng: Random, size: Size) -> Weights:
    """Curved bands with soft edges."""
    along, across = _grid(rng, size)
    bow = np.float32(rng.uniform(0.02, 0.08)) * np.sin(across * np.float32(rng.uniform(8, 20)))
    return np.asarray(0.5 + 0.5 * np.sin((along + bow) * np.float32(rng.uniform(15, 50))))


def rings(rng: Random, size: Size) -> Weights:
    """Circles about some point."""
    middle = rng.uniform(-0.3, 1.3, 2)
    x = np.arange(size[1], dtype=np.float32)[None, :] / min(size) - np.float32(middle[0])
    y = np.arange(size[0], dtype=np.float32)[:, None] / min(size) - np.float32(middle[1])
    return 0.5 + 0.5 * np.sin(np.sqrt(x * x + y * y) * np.float32(rng.uniform(20, 70)))


def bricks(rng: Random, size: Size) -> Weights:
    """Courses with mortar, each shifted by half."""
    along, across = _grid(rng, size)
    many = np.float32(rng.uniform(4, 9))
    row = np.floor(across * many)
    joint = ((across * many) % 1 < 0.12) | ((along * many / 2 + row / 2) % 1 < 0.06)
    return np.clip(joint.astype(np.float32) + 0.12 * noise(rng, size, (3.0, 3.0)), 0, 1)


def marble(rng: Random, size: Size) -> Weights:
    """Veins that wander."""
    cell = min(size) * rng.uniform(0.15, 0.4)
    along, _ = _grid(rng, size)
    bent = along * np.float32(rng.uniform(2, 6)) + np.float32(0.5) * noise(rng, size, (cell, cell))
    return np.abs(np.sin(np.pi * bent)) ** np.float32(0.4)


TRAINING: dict[str, Ground] = {
    ground.__name__: ground for ground in (plain, gradient, stripes, checks, dots, blotches, speckle, planks)
}
HELD_OUT: dict[str, Ground] = {ground.__name__: ground for ground in (waves, rings, bricks, marble)}
"""Never trained on."""
_GROUNDS = TRAINING | HELD_OUT


def draw(rng: Random, name: str, size: Size) -> Field:
    """Return a ground of that name, H×W×3 RGB in [0, 1]: two colours of one temper, more or less apart."""
    weight = _GROUNDS[name](rng, size)[..., None]
    hue, saturation, value = rng.uniform(), rng.uniform(0, 0.75) ** 1.5, rng.uniform(0.12, 0.95)
    apart = rng.uniform(0.05, 0.3) * (1 if value < 0.5 else -1)
    one = np.array(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32)
    turned = (hue + rng.uniform(-0.15, 0.15)) % 1
    other = np.array(colorsys.hsv_to_rgb(turned, saturation * rng.uniform(0.5, 1), value + apart), dtype=np.float32)
    return np.asarray(one + weight * (other - one), dtype=np.float32)
