"""Sprites: an outline or a painted tile, posed, coloured and rasterised, with how much of each pixel it covers.

A sprite is drawn as large as it will appear. It knows nothing of where it stands or of what stands beside it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from workers.training.worlds.objects import Kind
from workers.training.worlds.outlines import Outline, Points
from workers.training.worlds.palette import Rgb, brightness
from workers.training.worlds.textures import Field, noise

Random = np.random.Generator
SHIFT = 4
"""Fractional bits of OpenCV's fixed-point coordinates."""
MARGIN = 2
"""Pixels around a sprite that it does not cover."""


@dataclass(frozen=True, eq=False)
class Sprite:
    """`colours` is h×w×3 RGB in [0, 1], `cover` h×w in [0, 1]."""

    colours: Field
    cover: Field


def thing(rng: Random, kind: Kind, colour: Rgb, side: float) -> Sprite:
    """Draw a thing of a kind whose longer side takes `side` pixels, turned, stretched and mirrored a little."""
    outline = _posed(rng, kind.draw(rng), kind.tilt, side)
    size = _size(outline)
    body = _filled(size, outline.solid)
    colours = _shaded(rng, colour, size)
    if outline.details:
        tone = _tone(rng, colour)
        colours += (_filled(size, outline.details) * body)[..., None] * (tone - colours)
    if rng.random() < 0.35:
        colours += _rim(body, side)[..., None] * (_tone(rng, colour) - colours)
    return Sprite(colours, body)


def tile(rng: Random, painted: Field, cover: Field, side: float, tilt: float = 12.0) -> Sprite:
    """Pose a painted square (S×S×3, and its cover S×S) as a sprite with a longer side of `side` pixels."""
    square = Outline((np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]),))
    corners = _posed(rng, square, tilt, side, mirror=False).solid[0]
    size = _size(Outline((corners,)))
    edge = painted.shape[0]
    source = np.array([(0, 0), (edge, 0), (edge, edge), (0, edge)], dtype=np.float32)
    lens = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    if side < edge:  # so that fine lines are averaged rather than skipped
        soft = max(0.35 * edge / side, 0.3)
        painted, cover = _soft(painted, soft), _soft(cover, soft)
    seen = cv2.warpPerspective(painted, lens, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen_cover = cv2.warpPerspective(cover, lens, size[::-1], flags=cv2.INTER_LINEAR)
    return Sprite(np.asarray(seen, dtype=np.float32), np.asarray(seen_cover, dtype=np.float32))


def _soft(layer: Field, deviation: float) -> Field:
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), deviation), dtype=np.float32)


def _posed(rng: Random, outline: Outline, tilt: float, side: float, *, mirror: bool = True) -> Outline:
    """Turn, stretch, shear, mirror and tip an outline over, then scale it to `side` pixels, clear of the margin."""
    angle = np.radians(rng.uniform(-tilt, tilt))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.array([[rng.uniform(0.85, 1.15), rng.uniform(-0.12, 0.12)], [0, 1]])
    if mirror and rng.random() < 0.5:
        stretch[:, 0] *= -1
    away = rng.uniform(-0.12, 0.12, 2)
    pose = turn @ stretch

    def seen(points: Points) -> Points:
        return np.asarray((points @ pose.T) / (1 + points @ away)[:, None])

    solid = [seen(points) for points in outline.solid]
    corners = np.concatenate(solid)
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = side / float((high - low).max())

    def placed(points: Points) -> Points:
        return np.asarray((points - low) * scale + MARGIN)

    return Outline(
        tuple(placed(points) for points in solid),
        tuple(placed(seen(points)) for points in outline.details),
    )


def _size(outline: Outline) -> tuple[int, int]:
    high = np.concatenate(outline.solid).max(axis=0)
    return int(np.ceil(high[1])) + MARGIN + 1, int(np.ceil(high[0])) + MARGIN + 1


def _filled(size: tuple[int, int], polygons: tuple[Points, ...]) -> Field:
    canvas = np.zeros(size, dtype=np.uint8)
    for points in polygons:
        fixed = np.round(points * 2**SHIFT).astype(np.int32)
        cv2.fillPoly(canvas, [fixed], (255,), cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) / np.float32(255)


def _shaded(rng: Random, colour: Rgb, size: tuple[int, int]) -> Field:
    """Fill with a colour: flat, falling off to one side, mottled, or in two close tones."""
    how = rng.integers(4)
    y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :]
    shade = np.zeros(size, dtype=np.float32)
    if how == 1:
        angle = rng.uniform(0, 2 * np.pi)
        shade = np.float32(0.18) * (np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y)
    elif how == 2:
        shade = np.float32(0.07) * noise(rng, size, (max(size[0] / 8, 2), max(size[1] / 8, 2)))
    elif how == 3:
        angle, many = rng.uniform(0, np.pi), np.float32(rng.uniform(4, 9))
        shade = np.float32(0.12) * np.sign(
            np.sin(many * (np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y))
        )
    return np.asarray(np.clip(colour * (1 + shade[..., None]), 0, 1), dtype=np.float32)


def _tone(rng: Random, colour: Rgb) -> Rgb:
    """Return a clearly darker or lighter tone of a colour."""
    bright = brightness(colour)
    if bright > 0.35 or (bright > 0.2 and rng.random() < 0.5):
        return colour * np.float32(rng.uniform(0.25, 0.5))
    return colour + (1 - colour) * np.float32(rng.uniform(0.4, 0.65))


def _rim(body: Field, side: float) -> Field:
    """Return how much of each pixel belongs to the outer edge."""
    wide = max(1, round(side * 0.025))
    return np.asarray(
        body - cv2.erode(body, np.ones((2 * wide + 1, 2 * wide + 1), np.uint8), borderValue=0), dtype=np.float32
    )
