"""Fitting a picture into a square: scaled as a whole, centred, padded with grey. Training and serving share this."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

PADDING = 114
"""The grey of the padding, as YOLO models are trained with."""

Array = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Fit:
    """How a picture of `height` x `width` lies in a square of `side`: from (left, top), each way by its own scale."""

    height: int
    width: int
    side: int

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width inside the square, in pixels, at least 1."""
        scale = self.side / max(self.height, self.width)
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))

    @property
    def top(self) -> int:
        """Rows of padding above."""
        return (self.side - self.inner[0]) // 2

    @property
    def left(self) -> int:
        """Columns of padding to the left."""
        return (self.side - self.inner[1]) // 2

    @property
    def scale(self) -> tuple[float, float]:
        """Square pixels per picture pixel, along x and along y."""
        return self.inner[1] / self.width, self.inner[0] / self.height


def letterbox(pixels: Array, side: int, *, padding: int = PADDING, nearest: bool = False) -> Array:
    """Fit HxW or HxWxC pixels into `side` x `side`. `nearest` keeps label values as they are."""
    fit = Fit(pixels.shape[0], pixels.shape[1], side)
    height, width = fit.inner
    smooth = cv2.INTER_AREA if height < fit.height else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST if nearest else smooth)
    square = np.full((side, side, *pixels.shape[2:]), padding, dtype=np.uint8)
    square[fit.top : fit.top + height, fit.left : fit.left + width] = scaled
    return square
