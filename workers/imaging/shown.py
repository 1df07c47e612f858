"""A picture as a server is shown it: a PNG in a data URL, within the sizes that servers take."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from domain.errors import ModelError
from domain.geometry import Box

SHORTEST_SIDE = 32
"""Smaller pictures are padded to it: servers refuse some that are tiny, or very long and thin."""


@dataclass(frozen=True)
class Shown:
    """A picture's URL, and its size in pixels as shown, with the padding."""

    url: str
    width: int
    height: int
    picture: tuple[int, int]
    """width and height of the picture itself"""
    part: tuple[int, int]
    """width and height of the part that is not padding"""

    def own(self, corners: tuple[float, float, float, float]) -> Box:
        """Return a box in the picture's own pixels, cut at its edges; `corners` are shares of it as shown."""
        across, down = (
            shown * own / part
            for shown, own, part in zip((self.width, self.height), self.picture, self.part, strict=True)
        )
        x0, y0, x1, y1 = corners
        return Box(x0=x0 * across, y0=y0 * down, x1=x1 * across, y1=y1 * down).clipped(*self.picture)


def shown(pixels: npt.NDArray[np.uint8], longest: int) -> Shown:
    """Encode H×W×3 pixels, shrunk so that no side is longer than `longest`, padded with black at the right and below.

    Raises ModelError on what is no such picture.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or pixels.dtype != np.uint8:
        raise ModelError(f"a picture is HxWx3 of uint8, not {pixels.shape} of {pixels.dtype}")
    image = Image.fromarray(pixels)
    width, height = image.size
    share = min(1.0, longest / max(width, height))
    if share < 1:
        image = image.resize((max(round(width * share), 1), max(round(height * share), 1)), Image.Resampling.LANCZOS)
    padded = Image.new("RGB", (max(image.width, SHORTEST_SIDE), max(image.height, SHORTEST_SIDE)))
    padded.paste(image)
    file = io.BytesIO()
    padded.save(file, "PNG", compress_level=1)  # nearly as small as the default, in a fifth of the time
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return Shown(url, padded.width, padded.height, (width, height), image.size)
