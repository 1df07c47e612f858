"""The colours that things of the drawn worlds have: names, the range that each name covers, and paint of a name.

The ranges leave gaps between them, so that what light and lens do to a colour does not give it another name.
"""

import colorsys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.float32]
"""Three values in [0, 1]."""
Range = tuple[float, float]


@dataclass(frozen=True)
class Colour:
    """A name's range: hue in degrees (it may pass 360), saturation and value in [0, 1]."""

    hue: Range
    saturation: Range
    value: Range


COLOURS: dict[str, Colour] = {
    "red": Colour((352, 365), (0.85, 1.0), (0.70, 0.92)),
    "orange": Colour((22, 32), (0.88, 1.0), (0.92, 1.0)),
    "yellow": Colour((51, 60), (0.75, 1.0), (0.88, 1.0)),
    "green": Colour((100, 145), (0.60, 1.0), (0.38, 0.75)),
    "blue": Colour((208, 235), (0.70, 1.0), (0.50, 0.95)),
    "purple": Colour((268, 288), (0.60, 0.95), (0.40, 0.72)),
    "black": Colour((0, 360), (0.0, 0.3), (0.03, 0.13)),
    "white": Colour((0, 360), (0.0, 0.05), (0.92, 1.0)),
}


def paint(rng: np.random.Generator, name: str) -> Rgb:
    """Return some colour of that name."""
    colour = COLOURS[name]
    hue, saturation, value = (rng.uniform(*span) for span in (colour.hue, colour.saturation, colour.value))
    return np.array(colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value), dtype=np.float32)


def named(rgb: Rgb) -> str | None:
    """Return the name whose range holds a colour; None between the ranges."""
    hue, saturation, value = colorsys.rgb_to_hsv(*map(float, rgb))
    for name, colour in COLOURS.items():
        degrees = hue * 360 + (360 if hue * 360 < colour.hue[0] - 1e-3 else 0)
        inside = zip((degrees, saturation, value), (colour.hue, colour.saturation, colour.value), strict=True)
        if all(low - 1e-3 <= found <= high + 1e-3 for found, (low, high) in inside):
            return name
    return None


def difference(one: Rgb, other: Rgb) -> float:
    """Return how far two colours are apart: the Euclidean distance in RGB, 0 to the root of 3."""
    return float(np.linalg.norm(one - other))


def brightness(rgb: Rgb) -> float:
    """Return how bright a colour is, in [0, 1]: its luma after ITU-R BT.601."""
    return float(rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32))
