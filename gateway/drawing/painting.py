"""Painting text into a quadrilateral, as if it were written on the sign itself."""

from collections.abc import Sequence
from math import atan2, degrees, hypot

from PIL import Image, ImageDraw

from domain.geometry import Point
from gateway.drawing.letters import CAP_HEIGHT, LINE_HEIGHT, fit, font

FINER = 2
"""Letters are drawn so many times larger and warped down, which smooths them."""


def paint_text(
    canvas: Image.Image, quad: Sequence[Point], angle: float, letters_px: float, text: str, ink: str, ground: str
) -> None:
    """Fill the quad with the ground and write the text into it, along its upper edge; pixels of the canvas."""
    corners = upright(quad, angle)
    width = (_length(corners[0], corners[1]) + _length(corners[3], corners[2])) / 2
    height = (_length(corners[0], corners[3]) + _length(corners[1], corners[2])) / 2
    plate = _plate(text, max(round(width), 4), max(round(height), 4), letters_px, ink, ground)
    xs, ys = zip(*corners, strict=True)
    left, top, right, bottom = int(min(xs)) - 1, int(min(ys)) - 1, int(max(xs)) + 2, int(max(ys)) + 2
    target = [(x - left, y - top) for x, y in corners]
    source = [(0.0, 0.0), (plate.width, 0.0), (plate.width, plate.height), (0.0, plate.height)]
    warped = plate.transform(
        (right - left, bottom - top),
        Image.Transform.PERSPECTIVE,
        perspective(target, source),
        Image.Resampling.BICUBIC,
    )
    canvas.paste(warped, (left, top), warped)


def upright(quad: Sequence[Point], angle: float) -> list[Point]:
    """Return the corners from the text's upper left, clockwise: the first edge runs as the text does."""

    def turned(at: int) -> float:
        (ax, ay), (bx, by) = quad[at], quad[(at + 1) % 4]
        return abs((degrees(atan2(by - ay, bx - ax)) - angle + 180) % 360 - 180)

    first = min(range(4), key=turned)
    return [quad[(first + step) % 4] for step in range(4)]


def perspective(target: Sequence[Point], source: Sequence[Point]) -> list[float]:
    """Return the eight coefficients by which Pillow finds, for a pixel of the target quad, its place in the source.

    They solve x' = (ax + by + c) / (gx + hy + 1), y' = (dx + ey + f) / (gx + hy + 1) for the four corners (Heckbert,
    "Fundamentals of Texture Mapping and Image Warping", 1989, section 2.2.3).
    """
    rows = []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y, u])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y, v])
    return _solved(rows)


def _solved(rows: list[list[float]]) -> list[float]:
    """Solve linear equations by elimination, greatest pivot first; for a flat quad, without a solution, a tiny one."""
    size = len(rows)
    for at in range(size):
        best = max(range(at, size), key=lambda row: abs(rows[row][at]))
        rows[at], rows[best] = rows[best], rows[at]
        pivot = rows[at][at] or 1e-9
        rows[at] = [value / pivot for value in rows[at]]
        for other in range(size):
            if other != at and rows[other][at]:
                factor = rows[other][at]
                rows[other] = [value - factor * lead for value, lead in zip(rows[other], rows[at], strict=True)]
    return [row[-1] for row in rows]


def _plate(text: str, width: int, height: int, letters_px: float, ink: str, ground: str) -> Image.Image:
    """Return the text on its ground, upright, FINER times as large."""
    plate = Image.new("RGBA", (width * FINER, height * FINER), ground)
    pen = ImageDraw.Draw(plate)
    size = round(min(letters_px / CAP_HEIGHT, height / CAP_HEIGHT * 0.9) * FINER)
    fitted = fit(text, size, plate.width * 0.96, plate.height)
    step = fitted.size * LINE_HEIGHT
    middle = plate.height / 2 - step * (len(fitted.lines) - 1) / 2
    for at, line in enumerate(fitted.lines):
        baseline = middle + at * step + fitted.size * CAP_HEIGHT / 2
        pen.text((plate.width / 2, baseline), line, fill=ink, font=font(fitted.size), anchor="ms")
    return plate


def _length(a: Point, b: Point) -> float:
    return hypot(b[0] - a[0], b[1] - a[1])
