"""The font, what it covers, and text measured and broken into lines.

Pillow's own font has ASCII only. DejaVu Sans Bold comes along as a subset: Latin with all its accents, Greek, Cyrillic.
What it does not cover is never drawn as empty boxes: `printable` says so with question marks, `covers` lets the caller
leave a sign as it is.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import ImageFont

FONT = Path(__file__).parent.parent / "fonts" / "DejaVuSans-Bold-subset.ttf"

CAP_HEIGHT = 0.729
"""Height of a capital over the font's size, in this font."""

LINE_HEIGHT = 1.12
SMALLEST_PX = 7
UNKNOWN = "\U0010ffff"


@dataclass(frozen=True)
class Fitted:
    """Text broken into lines at the greatest size that fits."""

    lines: tuple[str, ...]
    size: int


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font at a size in pixels."""
    return ImageFont.truetype(FONT, size)


@cache
def _known(character: str) -> bool:
    here, nowhere = font(24).getmask(character), font(24).getmask(UNKNOWN)
    return character.isspace() or bytes(here) != bytes(nowhere)


def covers(text: str) -> bool:
    """Say whether the font has a glyph for every character."""
    return all(map(_known, text))


def printable(text: str) -> str:
    """Return the text on one line, with a question mark for each character that the font lacks."""
    return "".join(character if _known(character) else "?" for character in " ".join(text.split()))


def cut(text: str, size: int, width: float) -> str:
    """Return the text, ended by dots where it is wider than so many pixels."""
    if font(size).getlength(text) <= width:
        return text
    fits = bisect_right(range(1, len(text)), width, key=lambda length: font(size).getlength(f"{text[:length]}…"))
    return f"{text[:fits].rstrip()}…"


def fit(text: str, size: int, width: float, height: float) -> Fitted:
    """Return the text in as few lines and as large as fits, at most of that size."""
    size = max(size, SMALLEST_PX)
    while True:
        lines = _wrapped(text, size, width)
        wide = max(font(size).getlength(line) for line in lines)
        tall = size * (CAP_HEIGHT * 1.25 + LINE_HEIGHT * (len(lines) - 1))
        if size <= SMALLEST_PX or (wide <= width and tall <= height):
            return Fitted(tuple(lines), size)
        size = max(min(size - 1, int(size * 0.95)), SMALLEST_PX)


def _wrapped(text: str, size: int, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]
