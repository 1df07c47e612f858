"""A little drawn board, and what can happen to a picture of it."""

from dataclasses import dataclass

import cv2
import numpy as np

from workers.imaging.decode import Pixels

HEIGHT, WIDTH = 240, 320


def board(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """Draw traces that turn and end in pads, of two greys, H × W × 3."""
    rng = np.random.default_rng(seed)
    canvas = np.full((height, width), 40, dtype=np.uint8)
    for _ in range(9):
        x, y = rng.integers(15, width - 15), rng.integers(15, height - 15)
        for _ in range(4):
            length, along = int(rng.integers(20, 80)), rng.random() < 0.5
            to = (int(np.clip(x + length * along, 9, width - 9)), int(np.clip(y + length * (not along), 9, height - 9)))
            cv2.line(canvas, (int(x), int(y)), to, 200, 5)
            x, y = to
        cv2.circle(canvas, (int(x), int(y)), 8, 200, -1)
    return np.repeat(cv2.GaussianBlur(canvas, (0, 0), 0.8)[..., None], 3, axis=2)


@dataclass(frozen=True)
class Moved:
    """How a second shot of the same lies: turned clockwise about the middle and enlarged, then shifted, in pixels."""

    dx: float = 0
    dy: float = 0
    turned: float = 0
    enlarged: float = 1

    def matrix(self, height: int, width: int) -> np.ndarray:
        """2 × 3: from the first shot's (x, y, 1) to the second's."""
        found = cv2.getRotationMatrix2D((width / 2, height / 2), -self.turned, self.enlarged)
        found[:, 2] += (self.dx, self.dy)
        return found

    def shot(self, pixels: Pixels) -> Pixels:
        """Take the second shot."""
        height, width = pixels.shape[:2]
        matrix = self.matrix(height, width)
        return np.asarray(
            cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), dtype=np.uint8
        )
