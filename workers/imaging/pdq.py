"""PDQ: 256 bits by which a picture is found again after it was scaled, compressed, or changed a little in its colours.

Written from the published description: "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm",
Facebook 2019. How near it comes to the reference is in `docs/decisions/0022-pdq-of-our-own.md`.
"""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 64
"""The picture is brought to so many pixels a side, whatever its shape."""
KEPT = 16
"""So many frequencies of its cosine transform are kept along each side, the constant one left out."""
LARGEST = 2048
"""A side that is longer is scaled down to so many pixels first, each side for itself: it bounds time and memory.

Meta's Python tools hash a picture in the size that it has, those in C++ bring it to 512 × 512 pixels first. Up to this
size the hash is that of the former, bit by bit; photos of 12 million pixels were up to 4 bits away from it.
"""
SMALLEST = 5
"""A picture with a shorter side has no hash: its bits are 0, and so is its quality."""
PASSES = 2
"""Two box filters, one after the other, are nearly a tent (W. Jarosz, "Fast image convolutions", 2001)."""
STEP = 255 / 100
"""A difference of neighbours counts for the quality in whole hundredths of full scale, so that faint noise is none."""
PER_QUALITY = 90
"""So many hundredths make one point of quality."""

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]


def pdq(pixels: Pixels) -> tuple[str, int]:
    """Return the PDQ hash of an H × W × 3 RGB picture as 64 hexadecimal digits, and its quality, 0 to 100.

    Below a quality of 50 there is too little to be seen for the hash to tell pictures apart.
    """
    if min(pixels.shape[:2]) < SMALLEST:
        return "0" * (KEPT * KEPT // 4), 0
    small = _small(_luma(pixels))
    return _digits(_frequencies(small)), _quality(small)


def _luma(pixels: Pixels) -> Plane:
    """Return the brightness (ITU-R BT.601) of a picture whose longer sides were scaled down, averaging."""
    height, width = pixels.shape[:2]
    if max(height, width) > LARGEST:
        size = min(width, LARGEST), min(height, LARGEST)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32)


def _small(luma: Plane) -> Plane:
    """Blur so that each of `SIDE` x `SIDE` points stands for its surroundings, and take those points.

    A picture of that very size is taken as it is.
    """
    height, width = luma.shape
    if (height, width) == (SIDE, SIDE):
        return luma
    across, down = _window(width), _window(height)
    columns = _boxed(np.ones((1, width), np.float32), across, 1)
    rows = _boxed(np.ones((height, 1), np.float32), 1, down)
    for _ in range(PASSES):
        luma = _boxed(luma, across, down)
        luma /= columns  # both sums by what they added up: at the rim that is less, as nothing lies outside
        luma /= rows
    return luma[np.ix_(_points(height), _points(width))]


def _window(length: int) -> int:
    """Return the width of the box filter: half of the pixels that become one, since it is applied twice."""
    return -(-length // (2 * SIDE))


def _boxed(plane: Plane, across: int, down: int) -> Plane:
    """Sum up each pixel's surroundings; of an even window the longer half lies behind the pixel."""
    anchor = (across - 1) // 2, (down - 1) // 2
    summed = cv2.boxFilter(plane, -1, (across, down), anchor=anchor, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(summed, np.float32)


def _points(length: int) -> npt.NDArray[np.intp]:
    """Return the pixels that lie in the middle of `SIDE` equal parts of a side."""
    return ((np.arange(SIDE) + 0.5) * length / SIDE).astype(np.intp)


def _frequencies(small: Plane) -> Plane:
    """Return the `KEPT` × `KEPT` lowest frequencies of the cosine transform (DCT-II), without the constant ones."""
    cosines = _cosines()
    return np.asarray(cosines @ small @ cosines.T, np.float32)


@cache
def _cosines() -> Plane:
    frequency, place = np.arange(1, KEPT + 1)[:, None], np.arange(SIDE)[None, :]
    waves = np.cos(np.pi / (2 * SIDE) * frequency * (2 * place + 1))
    return np.asarray(np.sqrt(2 / SIDE) * waves, np.float32)


def _digits(frequencies: Plane) -> str:
    """Set a bit for each frequency above the median (the lower one of the two in the middle), the highest first."""
    flat = frequencies.ravel()
    middle = (flat.size - 1) // 2
    return np.packbits((flat > np.partition(flat, middle)[middle])[::-1]).tobytes().hex()


def _quality(small: Plane) -> int:
    """Add up the differences of neighbours, down and across."""
    steps = sum(int(np.abs((np.diff(small, axis=axis) / STEP).astype(np.int32)).sum()) for axis in (0, 1))
    return min(steps // PER_QUALITY, 100)
