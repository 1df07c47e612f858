"""The grounds that surfaces are drawn on: what a texture looks like before light, lens and sensor.

A texture is a field of heights around zero and the range of colours it comes in. It knows nothing of defects.
`TRAINING_TEXTURES` and `HELD_OUT_TEXTURES` share no member: a detector is measured on grounds it never saw.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, hypot

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Size = tuple[int, int]
Range = tuple[float, float]


def noise(rng: np.random.Generator, size: Size, cell: tuple[float, float]) -> Field:
    """Return smooth noise of `size` (H, W), mean 0, deviation about 1, with bumps of `cell` (height, width) pixels."""
    rows, columns = (max(2, ceil(side / max(step, 1.0)) + 1) for side, step in zip(size, cell, strict=True))
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    return _field(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def _field(values: npt.ArrayLike) -> Field:
    return np.asarray(values, dtype=np.float32)


def _brushed(rng: np.random.Generator, size: Size, unit: float) -> Field:
    length = unit * rng.uniform(20, 60)
    return 0.7 * noise(rng, size, (1.0, length)) + 0.5 * noise(rng, size, (unit * 3, length * 2))


def _crosshatched(rng: np.random.Generator, size: Size, unit: float) -> Field:
    length = unit * rng.uniform(15, 40)
    return 0.6 * noise(rng, size, (unit * 1.5, length)) + 0.6 * noise(rng, size, (length, unit * 1.5))


def _cast(rng: np.random.Generator, size: Size, unit: float) -> Field:
    octaves = [(24, 0.5), (8, 0.45), (3, 0.5), (1.5, 0.35)]
    return _field(sum(weight * noise(rng, size, (unit * cell, unit * cell)) for cell, weight in octaves))


def _blasted(rng: np.random.Generator, size: Size, unit: float) -> Field:
    grain = unit * rng.uniform(1.0, 2.5)
    return 0.9 * noise(rng, size, (grain, grain)) + 0.3 * noise(rng, size, (unit * 40, unit * 40))


def _painted(rng: np.random.Generator, size: Size, unit: float) -> Field:
    cell = unit * rng.uniform(5, 11)
    return 0.8 * noise(rng, size, (cell, cell)) + 0.2 * noise(rng, size, (unit, unit))


def _moulded(rng: np.random.Generator, size: Size, unit: float) -> Field:
    return 0.6 * noise(rng, size, (unit * 70, unit * 70)) + 0.25 * noise(rng, size, (unit * 1.5, unit * 1.5))


def _grid(size: Size) -> tuple[Field, Field]:
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return rows, columns


def _weave(rng: np.random.Generator, size: Size, unit: float) -> Field:
    rows, columns = _grid(size)
    thread = unit * rng.uniform(4, 9)
    over = (np.floor(rows / thread) + np.floor(columns / thread)) % 2 == 0
    weft, warp = (np.abs(np.sin(np.pi * along / thread)) for along in (rows, columns))
    threads = np.where(over, weft, 0.75 * warp).astype(np.float32)
    return _field(2.2 * (threads - 0.55) + 0.35 * noise(rng, size, (unit * 1.5, unit * 1.5)))


def _wood(rng: np.random.Generator, size: Size, unit: float) -> Field:
    rows, _ = _grid(size)
    period = unit * rng.uniform(14, 34)
    bent = rows + unit * rng.uniform(4, 12) * noise(rng, size, (unit * 50, unit * 140))
    rings = np.abs(np.sin(np.pi * bent / period)) ** 0.6
    return _field(2.0 * (rings - 0.7) + 0.4 * noise(rng, size, (unit * 1.2, unit * 24)))


def _turned(rng: np.random.Generator, size: Size, unit: float) -> Field:
    rows, columns = _grid(size)
    centre = rng.uniform(-0.2, 1.2, 2) * size
    radius = np.hypot(rows - centre[0], columns - centre[1])
    grooves = noise(rng, (ceil(hypot(*size) * 1.8), 2), (unit * rng.uniform(1.5, 3.0), 2))[:, 0]
    return _field(0.9 * grooves[radius.astype(int) % len(grooves)] + 0.2 * noise(rng, size, (unit * 1.5, unit * 1.5)))


def _twill(rng: np.random.Generator, size: Size, unit: float) -> Field:
    rows, columns = _grid(size)
    period = unit * rng.uniform(6, 12)
    ribs = np.abs(np.sin(np.pi * (columns + rows) / period))
    yarn = 0.3 * np.sin(2 * np.pi * (columns - 0.4 * rows) / (period * 0.7))
    return _field(1.8 * (ribs - 0.6) + yarn + 0.3 * noise(rng, size, (unit * 1.5, unit * 1.5)))


def _glazed(rng: np.random.Generator, size: Size, unit: float) -> Field:
    mottled = noise(rng, size, (unit * 14, unit * 18))
    speckle = noise(rng, size, (unit * 1.6, unit * 1.6))
    return _field(0.6 * mottled + 0.9 * np.maximum(speckle - 1.2, 0) - 0.3 * np.maximum(-speckle - 1.4, 0))


@dataclass(frozen=True)
class Texture:
    """A ground: how its heights are drawn, how strongly they show, and its colours as HSV ranges in [0, 1]."""

    heights: Callable[[np.random.Generator, Size, float], Field]
    contrast: Range
    hue: Range
    saturation: Range
    value: Range

    def draw(self, rng: np.random.Generator, size: Size, unit: float) -> Field:
        """Return an HxWx3 picture, RGB in about [0, 1], the texture turned by any angle."""
        side = ceil(hypot(*size)) + 2
        canvas = self.heights(rng, (side, side), unit)
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 360), 1.0)
        turned = cv2.warpAffine(canvas, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
        top, left = (side - size[0]) // 2, (side - size[1]) // 2
        field = turned[top : top + size[0], left : left + size[1]]
        hsv = [rng.uniform(*span) for span in (self.hue, self.saturation, self.value)]
        base = np.array(colorsys.hsv_to_rgb(*hsv), dtype=np.float32)
        shade = 1 + np.float32(rng.uniform(*self.contrast)) * field
        return _field(base * shade[..., None])


_ANY = (0.0, 1.0)
_TEXTURES = {
    "brushed": Texture(_brushed, (0.03, 0.08), _ANY, (0.0, 0.12), (0.40, 0.75)),
    "crosshatched": Texture(_crosshatched, (0.03, 0.07), _ANY, (0.0, 0.15), (0.35, 0.70)),
    "cast": Texture(_cast, (0.04, 0.10), _ANY, (0.0, 0.20), (0.30, 0.60)),
    "blasted": Texture(_blasted, (0.03, 0.08), _ANY, (0.0, 0.30), (0.35, 0.75)),
    "painted": Texture(_painted, (0.02, 0.05), _ANY, (0.2, 0.9), (0.35, 0.75)),
    "moulded": Texture(_moulded, (0.02, 0.06), _ANY, (0.0, 0.8), (0.30, 0.80)),
    "weave": Texture(_weave, (0.05, 0.11), _ANY, (0.0, 0.6), (0.35, 0.75)),
    "wood": Texture(_wood, (0.06, 0.12), (0.05, 0.12), (0.25, 0.6), (0.45, 0.75)),
    "turned": Texture(_turned, (0.03, 0.07), _ANY, (0.0, 0.12), (0.40, 0.75)),
    "twill": Texture(_twill, (0.05, 0.11), _ANY, (0.0, 0.6), (0.35, 0.75)),
    "glazed": Texture(_glazed, (0.03, 0.07), _ANY, (0.0, 0.4), (0.50, 0.80)),
}
HELD_OUT_TEXTURES: tuple[str, ...] = ("turned", "twill", "glazed")
"""Never trained on."""
TRAINING_TEXTURES: tuple[str, ...] = tuple(name for name in _TEXTURES if name not in HELD_OUT_TEXTURES)


def texture(name: str) -> Texture:
    """Return the texture of that name; raises KeyError where there is none."""
    return _TEXTURES[name]
