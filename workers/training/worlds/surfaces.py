"""Surfaces with defects: the world that the embedded inspection detector is trained and measured on.

`draw(seed)` gives the same surface for the same arguments, always. The same seeds over other textures give the
held-out set. The picture is ground, then defects, then light, lens and sensor, in that order, as a camera would see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from workers.training.worlds.defects import PAINTERS, Bits, Vector
from workers.training.worlds.textures import HELD_OUT_TEXTURES, TRAINING_TEXTURES, Field, texture

__all__ = ["CLASSES", "HELD_OUT_TEXTURES", "TRAINING_TEXTURES", "Defect", "Surface", "draw"]

CLASSES = ("scratch", "pit", "crack", "stain", "inclusion")
CLEAN_SHARE = 0.12
MOST_DEFECTS = 4
SMALLEST_AREA = 30
"""A defect cut down to fewer square units than this by the picture's edge is drawn again elsewhere."""
TRIES = 12


@dataclass(frozen=True, eq=False)
class Defect:
    """A defect's class and its mask, HxW booleans of the picture's size."""

    label: str
    mask: Bits


@dataclass(frozen=True, eq=False)
class Surface:
    """A drawn picture (HxWx3 RGB), what is wrong with it, and the texture it was drawn on."""

    pixels: npt.NDArray[np.uint8]
    defects: tuple[Defect, ...]
    texture: str


def draw(
    seed: int,
    *,
    size: tuple[int, int] = (256, 256),
    textures: Sequence[str] = TRAINING_TEXTURES,
    defects: int | None = None,
    classes: Sequence[str] = CLASSES,
) -> Surface:
    """Draw a surface of `size` (height, width) pixels.

    `defects` is their number; None leaves it to chance, some surfaces being clean. `classes` narrows what may be drawn.
    Everything scales with the shorter side, so that a larger size is the same world at a higher resolution. Where no
    free place is found for a defect, it is left out.
    """
    rng = np.random.default_rng(seed)
    name = str(rng.choice(list(textures)))
    unit = min(size) / 256
    picture = texture(name).draw(rng, size, unit)
    angle = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(angle), np.sin(angle)])
    count = defects if defects is not None else _count(rng)
    found: list[Defect] = []
    for _ in range(count):
        defect = _place(rng, picture, unit, light, str(rng.choice(list(classes))), found)
        if defect is not None:
            found.append(defect)
    return Surface(_photograph(rng, picture, unit, light), tuple(found), name)


def _count(rng: np.random.Generator) -> int:
    return 0 if rng.random() < CLEAN_SHARE else int(rng.integers(1, MOST_DEFECTS + 1))


def _place(
    rng: np.random.Generator, picture: Field, unit: float, light: Vector, label: str, taken: Sequence[Defect]
) -> Defect | None:
    """Paint a defect clear of the others; None, with the picture as it was, where there is no room."""
    for _ in range(TRIES):
        before = picture.copy()
        mask = PAINTERS[label](rng, picture, unit, light)
        near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        if mask.sum() >= SMALLEST_AREA * unit**2 and not any((near & other.mask).any() for other in taken):
            return Defect(label, mask)
        picture[...] = before
    return None


def _photograph(rng: np.random.Generator, picture: Field, unit: float, light: Vector) -> npt.NDArray[np.uint8]:
    """Light the surface and take its picture: falloff, highlight, white balance, defocus, sensor noise."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    y, x = rows / picture.shape[0] - 0.5, columns / picture.shape[1] - 0.5
    falloff = 1 + rng.uniform(0, 0.5) * (light[0] * x + light[1] * y) - rng.uniform(0, 0.5) * (x * x + y * y)
    spot = rng.uniform(-0.6, 0.6, 2)
    shine = rng.uniform(0, 0.12) * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / rng.uniform(0.03, 0.2))
    balance = rng.uniform(0.85, 1.12) * rng.uniform(0.95, 1.05, 3)
    seen = (picture * falloff[..., None] + shine[..., None]) * balance
    defocus = unit * rng.uniform(0, 1.1)
    if defocus > 0.3:
        seen = cv2.GaussianBlur(seen, (0, 0), defocus)
    grain = rng.uniform(0, 0.025) * rng.standard_normal(seen.shape, dtype=np.float32)
    return np.asarray(np.clip((seen + grain) * 255 + 0.5, 0, 255), dtype=np.uint8)
