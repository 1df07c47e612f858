"""Symbols: signs and marks that a content policy may speak of, harmless in themselves, painted as tiles.

A tile is a square of 96 px, its colours and its cover, which `sprites.tile` poses as a sprite. Symbols keep their own
colours and are never mirrored.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from workers.training.worlds.lettering import contact_lines, price
from workers.training.worlds.outlines import Points, box, disc, ellipse, moved, path, stroke, turned
from workers.training.worlds.palette import paint
from workers.training.worlds.sprites import SHIFT, Sprite, tile

Random = np.random.Generator
Bytes = npt.NDArray[np.uint8]
SIDE = 96
RED, WHITE, BLACK, YELLOW, GREEN = "red", "white", "black", "yellow", "green"


class Tile:
    """A square being painted: polygons of the outlines' square from -1 to 1, in the palette's colours."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.colours = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
        self.cover = np.zeros((SIDE, SIDE), dtype=np.uint8)

    def fill(self, colour: str, *polygons: Points) -> None:
        """Paint polygons in some colour of that name; they cover what was there."""
        tone = tuple(round(255 * float(value)) for value in paint(self.rng, colour))
        for points in polygons:
            fixed = np.round((points + 1) * (SIDE - 1) / 2 * 2**SHIFT).astype(np.int32)
            cv2.fillPoly(self.colours, [fixed], tone, cv2.LINE_AA, SHIFT)
            cv2.fillPoly(self.cover, [fixed], (255,), cv2.LINE_AA, SHIFT)

    def put(self, picture: Bytes, left: int, top: int) -> None:
        """Lay an opaque picture (h×w×3) over a part of the tile, in its pixels."""
        height, width = picture.shape[:2]
        self.colours[top : top + height, left : left + width] = picture
        self.cover[top : top + height, left : left + width] = 255


def _no_entry(tile: Tile) -> None:
    tile.fill(RED, disc(0, 0, 1))
    half = tile.rng.uniform(0.15, 0.22)
    tile.fill(WHITE, box(-0.72, -half, 0.72, half))


def _stop(tile: Tile) -> None:
    corners = turned(_regular(8), 22.5)
    tile.fill(WHITE, corners)
    tile.fill(RED, corners * 0.9)
    cv2.putText(tile.colours, "STOP", (13, 58), cv2.FONT_HERSHEY_SIMPLEX, 0.92, (250, 250, 250), 3, cv2.LINE_AA)


def _regular(corners: int) -> Points:
    angles = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _warning(tile: Tile) -> None:
    tile.fill(BLACK, path((0, -0.95), (1, 0.85), (-1, 0.85)))
    tile.fill(YELLOW, path((0, -0.72), (0.82, 0.74), (-0.82, 0.74)))
    tile.fill(BLACK, path((-0.12, -0.3), (0.12, -0.3), (0.06, 0.28), (-0.06, 0.28)), disc(0, 0.5, 0.12))


def _give_way(tile: Tile) -> None:
    tile.fill(RED, path((0, 0.95), (1, -0.85), (-1, -0.85)))
    inner = tile.rng.uniform(0.55, 0.66)
    tile.fill(WHITE, moved(path((0, 0.95), (1, -0.85), (-1, -0.85)), 0, -0.1, inner))


def _first_aid(tile: Tile) -> None:
    tile.fill(GREEN, box(-0.95, -0.95, 0.95, 0.95))
    tile.fill(WHITE, box(-0.2, -0.7, 0.2, 0.7), box(-0.7, -0.2, 0.7, 0.2))


def _prohibited(tile: Tile, *polygons: Points) -> None:
    """Paint something in black on white within a red ring, crossed out."""
    tile.fill(RED, disc(0, 0, 1))
    tile.fill(WHITE, disc(0, 0, 0.8))
    tile.fill(BLACK, *polygons)
    tile.fill(RED, turned(box(-0.85, -0.1, 0.85, 0.1), 45))


def _figure(tile: Tile) -> tuple[Points, ...]:
    stride = tile.rng.uniform(0.12, 0.25)
    limbs = (((0, -0.3), (0, 0.15)), ((0, 0.15), (-stride, 0.62)), ((0, 0.15), (stride, 0.62)))
    arms = (((0, -0.22), (-0.3, 0.12)), ((0, -0.22), (0.3, 0.12)))
    drawn = (part for start, end in (*limbs, *arms) for part in stroke(0.15, start, end))
    return (disc(0, -0.52, 0.16), *drawn)


def _crossed_out_figure(tile: Tile) -> None:
    _prohibited(tile, *_figure(tile))


def _no_smoking(tile: Tile) -> None:
    smoke = (*stroke(0.08, (0.45, -0.05), (0.35, -0.25), (0.5, -0.45)), *stroke(0.08, (0.3, -0.1), (0.2, -0.35)))
    _prohibited(tile, box(-0.62, 0.08, 0.3, 0.28), box(0.36, 0.08, 0.46, 0.28), box(0.52, 0.08, 0.6, 0.28), *smoke)


def _skull(tile: Tile) -> None:
    tile.fill(BLACK, box(-0.95, -0.95, 0.95, 0.95))
    bones = (*stroke(0.14, (-0.6, 0.35), (0.6, 0.8)), *stroke(0.14, (0.6, 0.35), (-0.6, 0.8)))
    tile.fill(WHITE, *bones, ellipse(0, -0.25, 0.5, 0.5), box(-0.28, 0.0, 0.28, 0.4))
    tile.fill(BLACK, disc(-0.2, -0.22, 0.15), disc(0.2, -0.22, 0.15), path((0, -0.02), (0.08, 0.12), (-0.08, 0.12)))


def _qr_code(tile: Tile) -> None:
    letters = "".join(tile.rng.choice(list("abcdefghijklmnopqrstuvwxyz0123456789"), int(tile.rng.integers(6, 30))))
    code = cv2.cvtColor(cv2.QRCodeEncoder.create().encode(letters), cv2.COLOR_GRAY2RGB)
    inner = SIDE - 2 * int(tile.rng.integers(2, 9))
    edge = (SIDE - inner) // 2
    tile.put(np.full((SIDE, SIDE, 3), 255, dtype=np.uint8), 0, 0)
    tile.put(np.asarray(cv2.resize(code, (inner, inner), interpolation=cv2.INTER_NEAREST), dtype=np.uint8), edge, edge)


def _barcode(tile: Tile) -> None:
    height = int(tile.rng.integers(50, 70))
    top = (SIDE - height) // 2
    bars = np.repeat(tile.rng.random(42) < 0.5, 2)[: SIDE - 12]
    picture = np.full((height, SIDE, 3), 250, dtype=np.uint8)
    picture[5 : height - 12, 6 : 6 + len(bars)][:, bars] = 15
    digits = "".join(map(str, tile.rng.integers(0, 10, 10)))
    cv2.putText(picture, digits, (8, height - 3), cv2.FONT_HERSHEY_PLAIN, 0.75, (15, 15, 15), 1, cv2.LINE_AA)
    tile.put(picture, 0, top)


def _contact_banner(tile: Tile) -> None:
    picture = contact_lines(tile.rng, SIDE)
    tile.put(picture, 0, (SIDE - picture.shape[0]) // 2)


def _price_tag(tile: Tile) -> None:
    tag = path((-0.95, 0), (-0.6, -0.5), (0.95, -0.5), (0.95, 0.5), (-0.6, 0.5))
    tile.fill(str(tile.rng.choice(["white", "yellow", "orange"])), tag)
    tile.fill(BLACK, disc(-0.68, 0, 0.09))
    price(tile.rng, tile.colours, 22, 57)


SYMBOLS: dict[str, Callable[[Tile], None]] = {
    "no-entry sign": _no_entry,
    "stop sign": _stop,
    "warning sign": _warning,
    "give-way sign": _give_way,
    "first-aid sign": _first_aid,
    "crossed-out figure": _crossed_out_figure,
    "no-smoking sign": _no_smoking,
    "skull sign": _skull,
    "QR code": _qr_code,
    "barcode": _barcode,
    "banner with contact details": _contact_banner,
    "price tag": _price_tag,
}
ALSO: dict[str, tuple[str, ...]] = {
    "no-entry sign": ("do-not-enter sign",),
    "warning sign": ("danger sign",),
    "give-way sign": ("yield sign",),
    "crossed-out figure": ("crossed-out person", "no-pedestrians sign"),
    "skull sign": ("skull and crossbones", "poison sign"),
    "banner with contact details": ("contact details", "phone number and e-mail address"),
}
"""Other words for them."""


def symbol(rng: Random, name: str, length: float) -> Sprite:
    """Draw a symbol whose longer side takes `length` pixels. Raises KeyError where there is none of that name."""
    painting = Tile(rng)
    SYMBOLS[name](painting)
    scale = np.float32(1 / 255)
    return tile(rng, painting.colours * scale, painting.cover * scale, length)
