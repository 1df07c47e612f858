"""How a network looks at a pair of pictures: only at windows about the spots where they differ.

A window is a square of the picture with three channels: the picture in grey, its registered reference in grey, and
by how much they differ. All are told in the reference's own range of levels, so that a dim picture differs as much as
a bright one does. Training and serving share this. What is found in overlapping windows is joined again.
numpy and OpenCV only.
"""

from collections.abc import Sequence
from math import ceil
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from domain.errors import ModelError, RegistrationFailed
from domain.geometry import Box, Value, iou
from domain.vision import Detection
from workers.imaging.difference import TOLERANCE, Candidate, candidates, difference
from workers.imaging.letterbox import PADDING
from workers.models.family import Model

Pixels = npt.NDArray[np.uint8]

MOST_WINDOWS, MOST_SPOTS = 1024, 50_000
"""A pair that differs in more places shows something else than its reference."""
LEAST_RANGE = 32
"""So many levels lie at least between what is dark and what is bright in a reference: with fewer, nothing is told."""
OUTLIERS = 0.0005
"""The share of the pixels that may be darker than what is called dark, and brighter than what is called bright."""
TOUCHING_PX = 2.0
"""A box that ends so near to the edge of its window, inside the picture, was probably cut there."""
ACROSS = 0.4
"""Boxes of one class that two windows found are one from this overlap (IoU) on."""
CUT = 0.5
"""What the score of such a box is multiplied by where boxes of overlapping windows compete."""


class Pairs(Value):
    """How pairs are looked at; kept in the checkpoint, because the network learned it so."""

    window: int = Field(default=128, ge=32)
    """side of a window in the picture's pixels; about a spot that is larger, it grows"""
    tolerance: int = Field(default=TOLERANCE, ge=0, le=16)
    """by so many pixels an edge may lie elsewhere in the two"""
    threshold: int = Field(default=48, ge=1, le=254)
    """from so many levels on a pixel differs, 255 being the reference's own range"""
    smallest: int = Field(default=3, ge=1)
    """so many differing pixels make a spot"""
    levels: Literal[2] = 2
    """how levels are told: in the reference's own range. A checkpoint that does not say was taught otherwise"""

    @property
    def margin(self) -> int:
        """What is shown around a spot at least."""
        return self.window // 6


PREPROCESSING = "pairs"


def preprocessing(how: Pairs, side: int) -> str:
    """Return what is kept with every answer, of windows that are brought to a square of that side."""
    return f"{PREPROCESSING}{how.window}to{side}/2"


def compares(model: Model) -> bool:
    """Say whether a model sees pictures beside their references, and not alone."""
    return model.preprocessing.startswith(PREPROCESSING)


class Window(Value):
    """A square of the picture; it may reach out of a picture that is smaller."""

    left: int
    top: int
    side: int


def stacked(picture: Pixels, reference: Pixels, how: Pairs) -> Pixels:
    """Return picture, reference and difference as the channels of one H × W × 3.

    Raises ModelError where the two are not of one size: the reference must have been registered. Raises
    RegistrationFailed where the reference shows so little that nothing would differ from it.
    """
    if picture.shape != reference.shape:
        raise ModelError(
            f"a picture of {_size(picture)} and a reference of {_size(reference)} pixels; lay the reference over the "
            f"picture first (`align`)"
        )
    dark, gain = _range(reference)
    levels = (np.arange(256) - dark) * gain
    stretched = np.asarray(np.clip(levels + 0.5, 0, 255), dtype=np.uint8)
    greys = (cv2.LUT(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), stretched) for one in (picture, reference))
    # Of the levels as they are: what is darker, or brighter, than all of the reference differs from it too.
    differs = cv2.convertScaleAbs(difference(picture, reference, how.tolerance), alpha=gain)
    return np.dstack([*greys, differs])


def _range(reference: Pixels) -> tuple[int, float]:
    """Return what is dark in a reference, in any colour, and the gain that brings its range of levels to 255."""
    counts = [cv2.calcHist([reference], [channel], None, [256], [0, 256]).ravel() for channel in range(3)]
    shares = [np.cumsum(count) / count.sum() for count in counts]
    dark = min(int(np.searchsorted(share, OUTLIERS)) for share in shares)
    bright = max(int(np.searchsorted(share, 1 - OUTLIERS)) for share in shares)
    if bright - dark < LEAST_RANGE:
        raise RegistrationFailed(
            f"the reference shows too little in the picture's light: {bright - dark} levels lie between what is dark "
            f"and what is bright in it, and it takes {LEAST_RANGE}; a flaw could not be told from it"
        )
    return dark, 255 / (bright - dark)


def windows(channels: Pixels, how: Pairs) -> list[Window]:
    """Return windows that show every spot where the two differ, with its surroundings.

    Raises RegistrationFailed where there are more than `MOST_WINDOWS`.
    """
    size = channels.shape[:2]
    spots = candidates(np.ascontiguousarray(channels[..., 2]), how.threshold, how.smallest)
    found: list[Window] = []
    reach = np.empty((MOST_WINDOWS + 1, 4))  # of each window: x0, y0, x1, y1
    for spot in spots[: MOST_SPOTS + 1]:
        x0, y0, x1, y1 = _about(spot, how.margin, size).xyxy
        held = reach[: len(found)]
        if not ((held[:, :2] <= (x0, y0)) & (held[:, 2:] >= (x1, y1))).all(axis=1).any():
            window = window_about(spot.box.centre, max(spot.box.width, spot.box.height), how, size)
            reach[len(found)] = window.left, window.top, window.left + window.side, window.top + window.side
            found.append(window)
        if len(found) > MOST_WINDOWS:
            break
    if len(found) > MOST_WINDOWS or len(spots) > MOST_SPOTS:
        raise RegistrationFailed(
            f"the picture differs from its reference in {len(spots)} places, which take more than {MOST_WINDOWS} "
            f"windows to look at; they do not show the same"
        )
    return found


def window_about(centre: tuple[float, float], longest: float, how: Pairs, size: tuple[int, ...]) -> Window:
    """Return the window about a point, held inside the picture (H, W) where that is large enough."""
    side = max(how.window, ceil(longest) + 2 * how.margin)
    left, top = (
        round(min(max(at - side / 2, 0), length - side) if length > side else (length - side) / 2)
        for at, length in zip(centre, (size[1], size[0]), strict=True)
    )
    return Window(left=left, top=top, side=side)


def cut(channels: Pixels, window: Window, side: int) -> Pixels:
    """Return a window of H × W × 3 channels as side × side × 3; what lies beyond the picture is padded."""
    height, width = channels.shape[:2]
    x0, y0 = min(max(window.left, 0), width), min(max(window.top, 0), height)
    x1, y1 = max(min(window.left + window.side, width), x0), max(min(window.top + window.side, height), y0)
    shown = channels[y0:y1, x0:x1]
    square = np.full((window.side, window.side, 3), PADDING, dtype=np.uint8)
    square[..., 2] = 0
    if shown.size:
        square[y0 - window.top : y1 - window.top, x0 - window.left : x1 - window.left] = shown
    if window.side == side:
        return square
    how = cv2.INTER_AREA if window.side > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side, side), interpolation=how), dtype=np.uint8)


def joined(
    found: Sequence[tuple[Window, Sequence[Detection]]], size: tuple[int, int], overlap: float, most: int
) -> tuple[Detection, ...]:
    """Carry what was found in windows to the picture (H, W) and keep each thing once, best first.

    Of boxes of one class that overlap by more than `overlap` (IoU), or of which one holds most of the other, one is
    kept: a whole one before one that its window cut off, then the surer.
    """
    placed = [(_placed(one, window, size), _whole(one.box, window, size)) for window, ones in found for one in ones]
    kept: list[Detection] = []
    for one, _ in sorted(placed, key=lambda pair: -pair[0].score * (1 if pair[1] else CUT)):
        if not any(one.label == other.label and _same(one.box, other.box, overlap) for other in kept):
            kept.append(one)
    return tuple(sorted(kept, key=lambda one: -one.score)[:most])


def _placed(one: Detection, window: Window, size: tuple[int, int]) -> Detection:
    box = one.box.shifted(window.left, window.top).clipped(size[1], size[0])
    return Detection(label=one.label, score=one.score, box=box)


def _whole(box: Box, window: Window, size: tuple[int, int]) -> bool:
    """Say whether a box, in its window's pixels, stays clear of the edges at which the picture goes on."""
    return not (
        (box.x0 < TOUCHING_PX and window.left > 0)
        or (box.y0 < TOUCHING_PX and window.top > 0)
        or (box.x1 > window.side - TOUCHING_PX and window.left + window.side < size[1])
        or (box.y1 > window.side - TOUCHING_PX and window.top + window.side < size[0])
    )


HELD = 0.8
"""A box of which so much lies in another of its class is a piece of it."""


def _same(a: Box, b: Box, overlap: float) -> bool:
    shared = _shared(a, b)
    return iou(a, b) > overlap or shared > HELD * min(a.area, b.area)


def _shared(a: Box, b: Box) -> float:
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0


def _about(spot: Candidate, margin: int, size: tuple[int, ...]) -> Box:
    """Return a spot's box with a margin, as far as the picture goes."""
    box = spot.box
    grown = Box(x0=box.x0 - margin, y0=box.y0 - margin, x1=box.x1 + margin, y1=box.y1 + margin)
    return grown.clipped(size[1], size[0])


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]} × {pixels.shape[0]}"
