"""What can be said of a picture without a model."""

import cv2
import numpy as np
import numpy.typing as npt

from domain.vision import Quality


def quality(pixels: npt.NDArray[np.uint8]) -> Quality:
    """Measure an H × W × 3 RGB picture: see `domain.vision.Quality` for what the figures mean."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(grey, cv2.CV_64F)
    return Quality(sharpness=float(edges.var()), brightness=float(grey.mean() / 255), contrast=float(grey.std() / 255))
