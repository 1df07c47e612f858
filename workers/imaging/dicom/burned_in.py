"""Text burned into the pixels: found by a reader that is handed in, and blanked in the stored values of every frame."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil, floor

import numpy as np

from domain.geometry import Box
from domain.vision import TextRegion
from workers.imaging.decode import Pixels
from workers.imaging.dicom.frames import Voi, rendered
from workers.imaging.dicom.reading import Instance
from workers.imaging.dicom.stored import Stored, StoredFrame

Read = Callable[[Pixels], Sequence[TextRegion]]
"""Finds the lines of text in a picture of H x W x 3 (RGB)."""

MARKERS = frozenset({"L", "R", "LT", "RT", "AP", "PA"})
"""Which side, which way the rays went: it matters to who reads the picture, and says nothing of the patient."""
SURE = 0.7
"""A marker stays where the reader is as sure as this."""
WIDEST_MARKER = 2.5
"""A marker's box is at most this often as wide as high: in a longer one the reader has missed letters."""
MARGIN = 0.25
"""Of a line's height, and `LEAST_MARGIN` pixels beside: ascenders, descenders and the blur of compression."""
LEAST_MARGIN = 2
ROUNDS = 3
"""A picture is read again once blanked: with large letters gone, small ones are found that were not."""

PART = 960
"""Pixels: a longer picture is read in parts of this size as well, because readers shrink what they search, and letters
of a film of 3000 pixels would be too small by then."""
OVERLAP = 160

Rectangle = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels; x1 and y1 lie outside."""


def without_text(
    instance: Instance, frames: Sequence[StoredFrame], read: Read
) -> tuple[list[StoredFrame], tuple[Box, ...]]:
    """Blank whatever text the reader finds, but for markers of side and view, in all frames; return where it was.

    Every frame is read as it is shown and, where a VOI hides part of its values, over its whole range. Text found in
    one frame is blanked in all.
    """
    cleaned, found = list(frames), list[Rectangle]()
    for _ in range(ROUNDS):
        fresh = [area for index, frame in enumerate(cleaned) for area in _areas(instance, index, frame, read)]
        if not fresh:
            break
        found += [area for area in dict.fromkeys(fresh) if area not in found]
        cleaned = [replace(frame, values=blanked(frame.values, fresh)) for frame in cleaned]
    return cleaned, tuple(Box(x0=x0, y0=y0, x1=x1, y1=y1) for x0, y0, x1, y1 in found)


def picture_without_text(picture: Pixels, read: Read) -> tuple[Pixels, tuple[Box, ...]]:
    """Do as `without_text` to a plain picture of H x W x 3 (RGB)."""
    cleaned, found = picture, list[Rectangle]()
    for _ in range(ROUNDS):
        fresh = _areas_of(cleaned, read)
        if not fresh:
            break
        found += [area for area in dict.fromkeys(fresh) if area not in found]
        cleaned = blanked(cleaned, fresh).astype(np.uint8, copy=False)
    return cleaned, tuple(Box(x0=x0, y0=y0, x1=x1, y1=y1) for x0, y0, x1, y1 in found)


def blanked(values: Stored, areas: Sequence[Rectangle]) -> Stored:
    """Return a copy with each rectangle filled by the median of the pixels around it (a value that stands there)."""
    filled = values.copy()
    for x0, y0, x1, y1 in areas:
        border = _border(filled, (x0, y0, x1, y1))
        # A rectangle over the whole picture has no border; its least value is background in most modalities.
        fill = np.sort(border, axis=0)[(len(border) - 1) // 2] if len(border) else filled.min(axis=(0, 1))
        filled[y0:y1, x0:x1] = fill
    return filled


def _border(values: Stored, area: Rectangle) -> Stored:
    """Return the pixels that touch a rectangle's four sides from outside, as N or N x 3."""
    x0, y0, x1, y1 = area
    sides = (
        values[max(y0 - 1, 0) : y0, x0:x1],
        values[y1 : y1 + 1, x0:x1],
        values[y0:y1, max(x0 - 1, 0) : x0],
        values[y0:y1, x1 : x1 + 1],
    )
    return np.concatenate([side.reshape(-1, *values.shape[2:]) for side in sides])


def is_marker(region: TextRegion) -> bool:
    """Return whether a line is a lone marker of side or view, surely read."""
    box = region.quad.box
    wide = max(box.width, box.height) > WIDEST_MARKER * max(min(box.width, box.height), 1.0)
    return region.text.strip().upper() in MARKERS and region.confidence >= SURE and not wide


def _areas(instance: Instance, index: int, frame: StoredFrame, read: Read) -> list[Rectangle]:
    shown = rendered(instance, index, frame)
    pictures = [shown.pixels]
    if shown.voi in {Voi.LUT, Voi.WINDOW}:
        pictures.append(rendered(instance, index, frame, whole_range=True).pixels)
    return [area for picture in pictures for area in _areas_of(picture, read)]


def _areas_of(picture: Pixels, read: Read) -> list[Rectangle]:
    height, width = picture.shape[:2]
    areas = [
        _area(line.quad.box.shifted(x, y), width, height)
        for x, y in _corners(height, width)
        for line in read(np.ascontiguousarray(picture[y : y + PART, x : x + PART]))
        if not is_marker(line)
    ]
    if max(height, width) > PART:  # letters larger than a part
        areas += [_area(line.quad.box, width, height) for line in read(picture) if not is_marker(line)]
    return [area for area in areas if area[0] < area[2] and area[1] < area[3]]


def _corners(height: int, width: int) -> list[tuple[int, int]]:
    """Return the top left corners (x, y) of overlapping parts that cover a picture."""
    step = PART - OVERLAP
    across, down = (range(0, max(side - OVERLAP, 1), step) for side in (width, height))
    return [(x, y) for y in down for x in across]


def _area(box: Box, width: int, height: int) -> Rectangle:
    margin = MARGIN * min(box.width, box.height) + LEAST_MARGIN
    return (
        max(floor(box.x0 - margin), 0),
        max(floor(box.y0 - margin), 0),
        min(ceil(box.x1 + margin), width),
        min(ceil(box.y1 + margin), height),
    )
