"""What a result wants drawn over its image. An application says it in these shapes; the gateway draws them."""

from typing import Literal

from pydantic import Field

from domain.geometry import Box, Mask, Polygon, Value

Tone = Literal["good", "bad", "warn", "info"]
"""Green, red, amber, blue: the verdict's colour, not the class's."""


class BoxMark(Value):
    """A rectangle with a caption."""

    kind: Literal["box"] = "box"
    box: Box
    caption: str = ""
    tone: Tone = "info"


class MaskMark(Value):
    """A tinted mask with its outline."""

    kind: Literal["mask"] = "mask"
    mask: Mask
    tone: Tone = "info"


class PolygonMark(Value):
    """An outlined polygon, say a region of interest."""

    kind: Literal["polygon"] = "polygon"
    polygon: Polygon
    caption: str = ""
    tone: Tone = "info"


class TextMark(Value):
    """Text painted into a quadrilateral: filled with `background`, written in `foreground`, turned by `angle`.

    `angle` is in degrees, clockwise as seen; `font_px` is the height of the letters in pixels.
    """

    kind: Literal["text"] = "text"
    quad: Polygon
    text: str
    angle: float
    font_px: float = Field(gt=0)
    foreground: str = Field(pattern="^#[0-9a-f]{6}$")
    background: str = Field(pattern="^#[0-9a-f]{6}$")


class BannerMark(Value):
    """A line across the top of the picture: the verdict."""

    kind: Literal["banner"] = "banner"
    text: str
    tone: Tone = "info"


Mark = BoxMark | MaskMark | PolygonMark | TextMark | BannerMark
