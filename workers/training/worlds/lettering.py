"""Made-up lettering on symbols: contact details, prices. Nobody's address, number or price is meant."""

import cv2
import numpy as np
import numpy.typing as npt

from workers.training.worlds.palette import COLOURS, brightness, paint

Random = np.random.Generator
Bytes = npt.NDArray[np.uint8]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_PLAIN)
CONTRAST = 0.4
"""How far the brightness of letters is from that of their ground."""


def contact_lines(rng: Random, width: int) -> Bytes:
    """Return a banner `width` pixels wide, h×w×3, with two to four lines: a call to write, numbers, addresses."""
    said = [_said(rng) for _ in range(int(rng.integers(2, 5)))]
    said[int(rng.integers(len(said)))] = _number(rng)
    height = int(rng.integers(15, 20))
    ground, ink = _two_colours(rng)
    banner = np.empty((height * len(said) + 6, width, 3), dtype=np.uint8)
    banner[...] = ground
    font = FONTS[int(rng.integers(len(FONTS)))]
    for row, line in enumerate(said):
        (natural, _), _ = cv2.getTextSize(line, font, 1.0, 1)
        scale = min((width - 8) / natural, 0.5 * height / 10)
        place = (4, 3 + round(height * (row + 0.75)))
        cv2.putText(banner, line, place, font, scale, ink, 1, cv2.LINE_AA)
    return banner


def price(rng: Random, picture: Bytes, left: int, base: int) -> None:
    """Write a price onto a picture, its first letter at `left`, on the line `base`."""
    amount = f"{rng.integers(1, 99)}.{rng.integers(0, 100):02d}"
    cv2.putText(picture, amount, (left, base), FONTS[int(rng.integers(2))], 0.75, (20, 20, 20), 2, cv2.LINE_AA)


def _two_colours(rng: Random) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return two colours, each of three bytes, that can be told apart."""
    names = list(COLOURS)
    while True:
        one, other = (paint(rng, str(name)) for name in rng.choice(names, 2, replace=False))
        if abs(brightness(one) - brightness(other)) > CONTRAST:
            return tuple(int(255 * v) for v in one), tuple(int(255 * v) for v in other)


def _word(rng: Random, least: int, most: int) -> str:
    return "".join(rng.choice(list(LETTERS), int(rng.integers(least, most))))


def _number(rng: Random) -> str:
    digits = "".join(map(str, rng.integers(0, 10, int(rng.integers(3, 5)))))
    return str(rng.choice(["Tel ", "Call ", "+", "Phone "])) + f"0{rng.integers(10, 999)} 555 {digits}"


def _said(rng: Random) -> str:
    """Return a line of a banner: a mail address, a site, or a call."""
    name, host = _word(rng, 3, 8), _word(rng, 3, 8)
    lines = (
        f"{name}@{host}.example",
        f"www.{host}.example",
        "CALL NOW",
        "Contact us",
        f"@{name}{rng.integers(10, 99)}",
    )
    return str(rng.choice(lines))
