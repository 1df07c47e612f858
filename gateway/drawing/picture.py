"""A picture with its marks: masks tinted and outlined, boxes with captions, polygons, painted text, a banner on top."""

import io
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from domain.errors import ImageUnreadable
from domain.geometry import Point
from domain.images import FORMATS
from domain.marks import BannerMark, BoxMark, Mark, MaskMark, PolygonMark, TextMark, Tone
from gateway.drawing.letters import SMALLEST_PX, covers, cut, font, printable
from gateway.drawing.painting import paint_text

LONGEST = 2048
SHORTEST_LONGEST = 640
"""A picture is drawn between these sizes of its longest side: captions on a smaller one could not be read."""

COLOURS: dict[Tone, str] = {"good": "#1a7f37", "bad": "#cf222e", "warn": "#9a6700", "info": "#0b62c4"}
TINT = 96
"""How strongly a mask is tinted, of 255."""

Rectangle = tuple[float, float, float, float]


def draw(data: bytes, marks: Sequence[Mark]) -> bytes:
    """Return a PNG of the picture, upright as its EXIF orientation says, with the marks over it.

    Raises ImageUnreadable.
    """
    sketch = _Sketch(decoded(data))
    order: tuple[type[Mark], ...] = (MaskMark, TextMark, PolygonMark, BoxMark)  # what lies beneath comes first
    for kind in order:
        for mark in marks:
            if isinstance(mark, kind):
                sketch.add(mark)
    banners = [mark for mark in marks if isinstance(mark, BannerMark)]
    out = io.BytesIO()
    _with_banners(sketch.canvas, banners).save(out, "PNG", compress_level=6)
    return out.getvalue()


def decoded(data: bytes, most: int | None = None) -> Image.Image:
    """Return a picture upright, in RGB of 8 bits; no larger than `most` pixels a side, where that is asked for.

    Raises ImageUnreadable.
    """
    try:
        with Image.open(io.BytesIO(data), formats=list(FORMATS)) as opened:
            if most is not None and not opened.mode.startswith("I;16"):
                opened.thumbnail((most, most))  # a JPEG is not even decoded larger
            upright = ImageOps.exif_transpose(opened)
            upright.load()
            return _eight_bits(upright)
    except Exception as error:
        # Whatever a codec raises means the same here: there is nothing to draw on.
        raise ImageUnreadable(f"the image cannot be decoded: {error}") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image in RGB: of 16 bits scaled, of floats stretched to what it uses, of transparency on white."""
    if image.mode.startswith(("I", "F")):
        whole_range, image = image.mode.startswith("I;16"), image.convert("F")
        extrema = (0, 65535) if whole_range else image.getextrema()
        low, high = (float(bound) for bound in extrema if not isinstance(bound, tuple))
        scale = 255.0 / ((high - low) or 1.0)
        image = image.point(lambda value: value * scale - low * scale).convert("L")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        ground = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(ground, over).convert("RGB")
    return image.convert("RGB")


class _Sketch:
    """A canvas at the size it is drawn in, and where captions already stand."""

    def __init__(self, picture: Image.Image) -> None:
        longest = max(picture.size)
        self.scale = min(LONGEST / longest, max(1.0, SHORTEST_LONGEST / longest))
        size = max(round(picture.width * self.scale), 1), max(round(picture.height * self.scale), 1)
        self.canvas = picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)
        self.line = max(2, round(max(size) / 450))
        self.letters = max(11, round(max(size) / 50))
        self._taken: list[Rectangle] = []

    def add(self, mark: Mark) -> None:
        """Draw one mark."""
        if isinstance(mark, MaskMark):
            self._mask(mark)
        elif isinstance(mark, TextMark):
            self._text(mark)
        elif isinstance(mark, PolygonMark):
            points = self._scaled(mark.polygon.points)
            self._outline(points, mark.tone)
            self._caption(min(points, key=lambda point: (point[1], point[0])), mark.caption, mark.tone)
        elif isinstance(mark, BoxMark):
            x0, y0, x1, y1 = (value * self.scale for value in mark.box.xyxy)
            ImageDraw.Draw(self.canvas).rectangle((x0, y0, x1, y1), outline=COLOURS[mark.tone], width=self.line)
            self._caption((x0, y0), mark.caption, mark.tone, below=y1)

    def _scaled(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    def _mask(self, mark: MaskMark) -> None:
        runs = (b"\xff" * length if at % 2 else b"\0" * length for at, length in enumerate(mark.mask.counts))
        # Column-major bytes of height x width are the row-major bytes of the transposed picture.
        turned = Image.frombytes("L", (mark.mask.height, mark.mask.width), b"".join(runs))
        whole = turned.transpose(Image.Transpose.TRANSPOSE).resize(self.canvas.size, Image.Resampling.BILINEAR)
        whole = whole.point(lambda value: 255 if value > 127 else 0)
        edge = ImageChops.subtract(whole.filter(ImageFilter.MaxFilter(2 * (self.line // 2) + 1)), whole)
        colour = Image.new("RGB", self.canvas.size, COLOURS[mark.tone])
        self.canvas.paste(colour, mask=whole.point(lambda value: TINT if value else 0))
        self.canvas.paste(colour, mask=edge)

    def _text(self, mark: TextMark) -> None:
        quad = self._scaled(mark.quad.points)
        if len(quad) != 4 or not covers(mark.text) or not mark.text.strip():
            # Letters that the font lacks would be empty boxes over a sign that could be read: outline it, no more.
            self._outline(quad, "warn")
            return
        paint_text(
            self.canvas, quad, mark.angle, mark.font_px * self.scale, mark.text, mark.foreground, mark.background
        )

    def _outline(self, points: Sequence[Point], tone: Tone) -> None:
        pen = ImageDraw.Draw(self.canvas)
        pen.line([*points, points[0], points[1]], fill=COLOURS[tone], width=self.line, joint="curve")

    def _caption(self, at: Point, text: str, tone: Tone, below: float | None = None) -> None:
        """Write a caption above a point, or below the box where another one stands already."""
        if not text:
            return
        text = cut(printable(text), self.letters, self.canvas.width - 12)
        width, height = font(self.letters).getlength(text) + 10, self.letters * 1.5
        x = min(max(at[0] - self.line / 2, 0), max(self.canvas.width - width, 0))
        tries = [at[1] - height, at[1], below if below is not None else at[1] + height]
        tries += [at[1] + height * step for step in (1, 2, 3)]
        inside = [y for y in tries if 0 <= y <= self.canvas.height - height] or [0.0]
        free = [y for y in inside if not any(_meet((x, y, x + width, y + height), other) for other in self._taken)]
        y = (free or inside)[0]
        self._taken.append((x, y, x + width, y + height))
        pen = ImageDraw.Draw(self.canvas)
        pen.rectangle((x, y, x + width, y + height), fill=COLOURS[tone])
        pen.text((x + 5, y + height / 2), text, fill="white", font=font(self.letters), anchor="lm")


def _meet(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _with_banners(canvas: Image.Image, banners: Sequence[BannerMark]) -> Image.Image:
    """Return the picture under its banners, which hide none of it."""
    if not banners:
        return canvas
    letters = max(13, round(max(canvas.size) / 36))
    height = round(letters * 1.9)
    tall = Image.new("RGB", (canvas.width, canvas.height + height * len(banners)), "white")
    pen = ImageDraw.Draw(tall)
    for at, banner in enumerate(banners):
        top = at * height
        pen.rectangle((0, top, canvas.width, top + height), fill=COLOURS[banner.tone])
        size, wide = letters, canvas.width - letters
        while size > max(letters // 3, SMALLEST_PX) and font(size).getlength(printable(banner.text)) > wide:
            size -= 1  # smaller letters before a cut: on a long, narrow picture a warning must be read to its end
        text = cut(printable(banner.text), size, wide)
        pen.text((letters * 0.5, top + height / 2), text, fill="white", font=font(size), anchor="lm")
    tall.paste(canvas, (0, height * len(banners)))
    return tall
