"""The anatomy of a chest phantom: what attenuates where, before anything is wrong with it.

An attenuation map is H × W float32: 0 is air, 1 the soft tissue of the trunk. Coordinates are shares of the picture's
side, x from its left edge. The patient's right is on the picture's left, as a radiograph is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Side = Literal["left", "right"]
"""of the patient"""
Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float32]
SIDES: tuple[Side, Side] = ("left", "right")
SHIFT = 4
"""OpenCV draws in sixteenths of a pixel."""
NORMAL_RATIO = (0.38, 0.47)
"""The width of a normal heart as a share of the chest's inner width; from 0.5 it is enlarged (Danzer 1919)."""


@dataclass(frozen=True)
class Layout:
    """A kind of patient and exposure: ranges that a phantom's shape is drawn from, as shares of the side."""

    half_width: tuple[float, float]
    """of the chest's inside"""
    apex: tuple[float, float]
    dome: tuple[float, float]
    """how low the right diaphragm's dome stands"""
    roundness: tuple[float, float]
    """how fast the lungs widen below their apex: 0.3 barrel, 0.7 bell"""
    ribs: tuple[int, int]
    turn: float
    """how far the picture may be turned, in degrees"""
    marker: Literal["corner", "edge"]


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "average": Layout((0.34, 0.38), (0.12, 0.16), (0.66, 0.72), (0.42, 0.5), (8, 9), 2, "corner"),
        "broad": Layout((0.38, 0.42), (0.12, 0.16), (0.62, 0.68), (0.36, 0.44), (7, 8), 2, "corner"),
        "slim": Layout((0.29, 0.33), (0.08, 0.12), (0.72, 0.78), (0.45, 0.55), (9, 10), 3, "edge"),
        "bedside": Layout((0.33, 0.38), (0.16, 0.2), (0.6, 0.66), (0.42, 0.5), (7, 8), 6, "edge"),
        "barrel": Layout((0.39, 0.43), (0.08, 0.11), (0.72, 0.77), (0.3, 0.35), (9, 10), 3, "edge"),
        "child": Layout((0.29, 0.33), (0.16, 0.2), (0.58, 0.64), (0.5, 0.6), (8, 9), 8, "corner"),
    }
)
TRAINING_LAYOUTS = ("average", "broad", "slim", "bedside")
HELD_OUT_LAYOUTS = ("barrel", "child")


@dataclass(frozen=True)
class Shape:
    """One patient's shape, as shares of the side."""

    middle: float
    half_width: float
    apex: float
    domes: Mapping[Side, float]
    roundness: float
    ribs: int

    def lateral(self, y: Points | float, side: Side) -> Points:
        """Return where the chest wall's inside is, at a height."""
        down = np.clip((np.asarray(y, np.float32) - self.apex) / (0.62 * (self.domes[side] - self.apex)), 0, 1)
        return np.asarray(self.middle + sign(side) * self.half_width * np.sin(np.pi / 2 * down) ** self.roundness)

    def floor(self, x: Points | float, side: Side) -> Points:
        """Return how low the diaphragm stands, at a place across; deepest at the chest wall."""
        across = sign(side) * (np.asarray(x, np.float32) - self.middle) / self.half_width
        return np.asarray(self.domes[side] + 0.16 * np.abs(across - 0.38) ** 2.4 / 0.62**2.4)

    def lung(self, side: Side) -> Points:
        """Return a lung's outline, N × 2."""
        heights = np.linspace(self.apex, float(self.floor(self.lateral(1.0, side), side)), 18, dtype=np.float32)
        outer = np.stack([self.lateral(heights, side), heights], axis=1)
        across = np.linspace(float(outer[-1, 0]), self.middle + sign(side) * 0.05, 12, dtype=np.float32)
        base = np.stack([across, self.floor(across, side)], axis=1)
        return np.concatenate([outer, base, [[self.middle + sign(side) * 0.045, self.apex + 0.05]]]).astype(np.float32)

    def heart(self, ratio: float) -> tuple[float, float, float, float]:
        """Return the box of a heart that is so wide, as a share of the chest's inside: x0, y0, x1, y1."""
        wide = 2 * self.half_width * ratio
        bottom = max(self.domes.values()) + 0.03
        left = self.middle - 0.32 * wide
        return left, bottom - 0.1 - 0.62 * wide, left + wide, bottom


def sign(side: Side) -> int:
    """Return which way a side of the patient lies in the picture: its left is to the right."""
    return 1 if side == "left" else -1


def shape(rng: np.random.Generator, layout: Layout) -> Shape:
    """Draw one patient's shape."""
    right = float(rng.uniform(*layout.dome))
    return Shape(
        middle=0.5 + float(rng.uniform(-0.015, 0.015)),
        half_width=float(rng.uniform(*layout.half_width)),
        apex=float(rng.uniform(*layout.apex)),
        domes={"right": right, "left": right + float(rng.uniform(0.01, 0.03))},
        roundness=float(rng.uniform(*layout.roundness)),
        ribs=int(rng.integers(layout.ribs[0], layout.ribs[1] + 1)),
    )


def filled(outline: Points, size: int, soft: float) -> Field:
    """Fill an outline (N × 2, shares) with ones; its edge goes over within `soft`, a share of the side."""
    layer = np.zeros((size, size), np.uint8)
    cv2.fillPoly(layer, [_fixed(outline, size)], 255, cv2.LINE_AA, SHIFT)
    return blurred(layer, soft * size)


def stroked(lines: list[tuple[Points, float]], size: int, soft: float) -> Field:
    """Draw lines (N × 2 and a width, shares) with ones."""
    layer = np.zeros((size, size), np.uint8)
    for points, width in lines:
        cv2.polylines(layer, [_fixed(points, size)], False, 255, max(1, round(width * size)), cv2.LINE_AA, SHIFT)
    return blurred(layer, soft * size)


def blurred(layer: npt.NDArray[np.uint8], sigma: float) -> Field:
    """Return a layer of bytes as shares of one, blurred by so many pixels."""
    soft = cv2.GaussianBlur(layer, (0, 0), sigma) if sigma > 0.3 else layer
    return np.asarray(soft, np.float32) / np.float32(255)


def chest(rng: np.random.Generator, body: Shape, size: int, ratio: float) -> tuple[Field, Mapping[Side, Field]]:
    """Draw a chest with a heart of that ratio. Returns its attenuation and how much of each pixel is lung, by side."""
    lungs = {side: filled(body.lung(side), size, 0.006) for side in SIDES}
    both = np.maximum(lungs["left"], lungs["right"])
    tissue = filled(_trunk(body), size, 0.02)
    tissue *= _lumpy(rng, size)
    tissue -= np.float32(0.72) * both
    tissue += np.float32(0.34) * filled(_mediastinum(body), size, 0.012)
    tissue += np.float32(0.13) * stroked([_spine(body)], size, 0.012)
    tissue -= np.float32(0.2) * stroked([_trachea(body)], size, 0.006)
    tissue += np.float32(0.15) * stroked([*_ribs(rng, body), *_clavicles(rng, body)], size, 0.004)
    heart = filled(heart_outline(body, ratio), size, 0.008)
    tissue += np.float32(0.17) * stroked(_vessels(rng, body), size, 0.004) * both * (1 - np.float32(0.8) * heart)
    tissue += np.float32(0.5) * heart * (np.float32(0.35) + np.float32(0.65) * both)
    return tissue, lungs


def _fixed(points: Points, size: int) -> npt.NDArray[np.int32]:
    return np.round(points * size * (1 << SHIFT)).astype(np.int32)


def _trunk(body: Shape) -> Points:
    wide = body.half_width + 0.07
    right = [(0.07, 0), (0.09, body.apex - 0.05), (wide + 0.08, body.apex + 0.06), (wide, 0.45), (wide - 0.01, 1.02)]
    points = [(body.middle + x, y) for x, y in right] + [(body.middle - x, y) for x, y in reversed(right)]
    return np.array(points, np.float32)


def _mediastinum(body: Shape) -> Points:
    apex, low = body.apex - 0.05, max(body.domes.values()) + 0.1
    right = [(0.05, apex), (0.05, apex + 0.14), (0.075, apex + 0.2), (0.06, apex + 0.28), (0.07, low)]
    left = [(0.06, low), (0.055, apex + 0.2), (0.045, apex)]
    points = [(body.middle + x, y) for x, y in right] + [(body.middle - x, y) for x, y in left]
    return np.array(points, np.float32)


def heart_outline(body: Shape, ratio: float) -> Points:
    """Return the outline of a heart that is so wide, N × 2."""
    x0, y0, x1, y1 = body.heart(ratio)
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = (x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(turns)
    # Fuller to the patient's left and below, as a heart lies on the diaphragm.
    y = (y0 + y1) / 2 + (y1 - y0) / 2 * np.sin(turns) + 0.12 * (x1 - x0) * np.cos(turns)
    return np.stack([x, y], axis=1).astype(np.float32)


def _spine(body: Shape) -> tuple[Points, float]:
    return np.array([(body.middle, 0), (body.middle, 1)], np.float32), 0.085


def _trachea(body: Shape) -> tuple[Points, float]:
    return np.array([(body.middle, 0.0), (body.middle - 0.006, body.apex + 0.2)], np.float32), 0.028


def _ribs(rng: np.random.Generator, body: Shape) -> list[tuple[Points, float]]:
    lines = []
    sag, width = float(rng.uniform(0.05, 0.09)), float(rng.uniform(0.016, 0.022))
    along = np.linspace(0, 1, 9, dtype=np.float32)
    for number, start in enumerate(np.linspace(body.apex - 0.02, max(body.domes.values()) + 0.02, body.ribs)):
        for side in SIDES:
            y = start + sag * (1 + 0.12 * number) * along**1.8 - 0.03 * np.sin(np.pi * along)
            x = body.middle + sign(side) * 0.03 + (body.lateral(y, side) - body.middle - sign(side) * 0.025) * along
            lines.append((np.stack([x, y], axis=1).astype(np.float32), width))
    return lines


def _clavicles(rng: np.random.Generator, body: Shape) -> list[tuple[Points, float]]:
    rise = float(rng.uniform(0.0, 0.05))
    along = np.linspace(0, 1, 7, dtype=np.float32)
    x = 0.04 + (body.half_width + 0.02) * along
    y = body.apex + 0.07 - rise * along + 0.02 * np.sin(2 * np.pi * along)
    return [(np.stack([body.middle + sign(side) * x, y], axis=1).astype(np.float32), 0.022) for side in SIDES]


def _vessels(rng: np.random.Generator, body: Shape) -> list[tuple[Points, float]]:
    """Draw the lungs' vessels: from each hilum outwards, forking and thinning."""
    lines = []
    for side in SIDES:
        hilum = np.array((body.middle + sign(side) * 0.08, body.apex + 0.27), np.float32)
        for angle in np.linspace(-1.25, 1.25, 9) + rng.uniform(-0.12, 0.12, 9):
            length = rng.uniform(0.16, 0.27)
            end = hilum + length * np.array((sign(side) * np.cos(angle), np.sin(angle)), np.float32)
            bend = (hilum + end) / 2 + rng.uniform(-0.02, 0.02, 2)
            lines.append((np.array([hilum, bend], np.float32), 0.013))
            for fork in rng.uniform(-0.05, 0.05, (2, 2)):
                lines.append((np.array([bend, end + fork], np.float32), 0.006))
    return lines


def _lumpy(rng: np.random.Generator, size: int) -> Field:
    coarse = rng.normal(1.0, 0.035, (9, 9)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)
