"""Cutting out a part of a picture."""

import numpy as np
import numpy.typing as npt

from domain.geometry import Box


def crop(pixels: npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.uint8]:
    """Return the part of an H × W × 3 picture inside the box, at least 1×1 pixel, as a copy."""
    height, width = pixels.shape[:2]
    x0 = min(max(int(box.x0), 0), width - 1)
    y0 = min(max(int(box.y0), 0), height - 1)
    x1 = min(max(int(np.ceil(box.x1)), x0 + 1), width)
    y1 = min(max(int(np.ceil(box.y1)), y0 + 1), height)
    return pixels[y0:y1, x0:x1].copy()
