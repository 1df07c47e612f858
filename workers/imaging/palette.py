"""The colours of a line of text: its ink and its ground."""

import cv2
import numpy as np
import numpy.typing as npt

from domain.geometry import Polygon
from domain.vision import Palette

HEIGHT = 32
"""The region is looked at as a strip of this height in pixels, at most `WIDEST` wide."""
WIDEST = 512
FLAT = 8.0
"""Below this spread of brightness (of 255) a region has one colour, and the ink is what can be read on it."""

Pixels = npt.NDArray[np.uint8]
Colours = npt.NDArray[np.float64]


def palette(pixels: Pixels, quad: Polygon) -> Palette:
    """Return the colours of ink and ground inside a quadrilateral of an H x W x 3 picture (RGB).

    The strip is parted at the threshold of N. Otsu, "A threshold selection method from gray-level histograms", 1979.
    The ground is the side that has more of the strip's border, where there are no letters. Each colour is the median of
    its side without the pixels next to the other side, which are blends of both.
    """
    strip = _strip(pixels, quad)
    grey = cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY)
    if float(grey.max()) - float(grey.min()) < FLAT:
        ground = np.median(strip.reshape(-1, 3), axis=0)
        return Palette(foreground="#000000" if _brightness(ground) > 127 else "#ffffff", background=_hex(ground))
    _, parted = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = np.asarray(parted, dtype=np.uint8)
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    ground_side = bright if border.mean() >= 0.5 else 1 - bright
    return Palette(foreground=_hex(_colour(strip, 1 - ground_side)), background=_hex(_colour(strip, ground_side)))


def _strip(pixels: Pixels, quad: Polygon) -> Pixels:
    """Stretch the quadrilateral level, as its own corners say (a polygon of other than four corners: its box)."""
    points = quad.points if len(quad.points) == 4 else _corners(quad)
    corners = np.asarray(points, dtype=np.float32)
    top, right, bottom, left = (float(np.linalg.norm(corners[(i + 1) % 4] - corners[i])) for i in range(4))
    width = min(max(round(max(top, bottom, 1.0) / max(left, right, 1.0) * HEIGHT), 4), WIDEST)
    target = np.asarray([[0, 0], [width, 0], [width, HEIGHT], [0, HEIGHT]], dtype=np.float32)
    turn = cv2.getPerspectiveTransform(corners, target)
    strip = cv2.warpPerspective(pixels, turn, (width, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(strip, dtype=np.uint8)


def _corners(quad: Polygon) -> tuple[tuple[float, float], ...]:
    x0, y0, x1, y1 = quad.box.xyxy
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def _colour(strip: Pixels, side: npt.NDArray[np.uint8]) -> Colours:
    """Return the median colour of one side of a strip, of its inner pixels where it has any."""
    inner = cv2.erode(side, np.ones((3, 3), np.uint8))
    chosen = strip[inner.astype(bool)] if inner.any() else strip[side.astype(bool)]
    colour: Colours = np.median(chosen.reshape(-1, 3), axis=0)
    return colour


def _brightness(colour: Colours) -> float:
    return float(colour @ np.array([0.299, 0.587, 0.114]))


def _hex(colour: Colours) -> str:
    red, green, blue = (round(float(value)) for value in colour)
    return f"#{red:02x}{green:02x}{blue:02x}"
