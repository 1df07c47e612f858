"""Draws photographs of signs: boards with text, in perspective, before a background, blurred and noisy.

The drawing knows what it wrote and where each line ended up, so expectations come from here and not from a reader's
answer. Faces are those that ship inside our dependencies: DejaVu (with matplotlib) and the one embedded in Pillow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
Colour = tuple[int, int, int]
Face = Literal["sans", "sans-bold", "serif-bold", "mono-bold", "embedded"]

FACES = {
    "sans": "DejaVuSans.ttf",
    "sans-bold": "DejaVuSans-Bold.ttf",
    "serif-bold": "DejaVuSerif-Bold.ttf",
    "mono-bold": "DejaVuSansMono-Bold.ttf",
}


REACH = "dp"
"""A line stands between the height of a `d` and the depth of a `p`, whatever letters it has."""


@dataclass(frozen=True)
class Board:
    """A sign: its lines, each with a size in pixels, and how it looks and hangs.

    `place` is the centre of the board in the picture as shares of its size; `turn` in degrees, clockwise as seen;
    `tilt` shrinks the right edge by that share (negative: the left edge), as when seen from the side.
    """

    lines: tuple[tuple[str, int], ...]
    ink: Colour
    ground: Colour
    face: Face = "sans-bold"
    place: tuple[float, float] = (0.5, 0.5)
    turn: float = 0.0
    tilt: float = 0.0


@dataclass(frozen=True)
class Weather:
    """What the camera adds: blur and noise as standard deviations (pixels, grey levels), light as a factor."""

    blur: float = 0.6
    noise: float = 4.0
    light: float = 1.0


@dataclass(frozen=True)
class Written:
    """A line as it was drawn: its text and its quadrilateral in pixels, from its own top left, clockwise."""

    text: str
    quad: tuple[tuple[float, float], ...]


def photograph(
    boards: Sequence[Board], size: tuple[int, int], weather: Weather, seed: int
) -> tuple[Pixels, list[Written]]:
    """Draw boards into a scene of (width, height). Returns H x W x 3 (RGB) and what was written where."""
    random = np.random.default_rng(seed)
    picture = scene(size, random)
    written = []
    for board in boards:
        sheet, lines = _sheet(board)
        turn = _hanging(board, sheet.shape[:2], size)
        picture = _hang(picture, sheet, turn)
        written += [Written(text, _moved(quad, turn)) for text, quad in lines]
    return _seen(picture, weather, random), written


def scene(size: tuple[int, int], random: np.random.Generator) -> Pixels:
    """Draw a blurred background: sky over ground, with a few shapes."""
    width, height = size
    sky, ground = random.integers(120, 220, 3), random.integers(60, 140, 3)
    share = np.clip((np.arange(height) / height - 0.45) * 6, 0, 1)[:, None, None]
    picture = (np.ones((height, width, 1)) * (sky * (1 - share) + ground * share)).astype(np.uint8)
    for _ in range(12):
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        w, h = (int(random.integers(side // 12, side // 4)) for side in size)
        colour = tuple(int(value) for value in random.integers(60, 200, 3))
        cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 9), dtype=np.uint8)


def _sheet(board: Board) -> tuple[Pixels, list[tuple[str, Matrix]]]:
    """Draw the board from the front. Returns it and each line's corners (4 x 2) on it."""
    fonts = [_font(board.face, size) for _, size in board.lines]
    boxes = [font.getbbox(text) for font, (text, _) in zip(fonts, board.lines, strict=True)]
    gap = 0.55 * max(size for _, size in board.lines)
    heights = [box[3] - box[1] for box in boxes]
    width = round(max(box[2] - box[0] for box in boxes) + 2.4 * gap)
    height = round(sum(heights) + gap * (len(boxes) - 1) + 2.4 * gap)
    sheet = Image.new("RGB", (width, height), board.ground)
    draw = ImageDraw.Draw(sheet)
    edge = max(3, round(gap / 6))
    draw.rectangle((edge, edge, width - 1 - edge, height - 1 - edge), outline=board.ink, width=edge)
    lines, y = [], 1.2 * gap
    for font, (text, _), box, tall in zip(fonts, board.lines, boxes, heights, strict=True):
        reach = font.getbbox(REACH)
        wide = box[2] - box[0]
        x = (width - wide) / 2
        draw.text((x - box[0], y - box[1]), text, font=font, fill=board.ink)
        top, bottom = y + reach[1] - box[1], y + reach[3] - box[1]
        corners = np.array([[x, top], [x + wide, top], [x + wide, bottom], [x, bottom]], dtype=np.float64)
        lines.append((text, corners))
        y += tall + gap
    return np.asarray(sheet, dtype=np.uint8), lines


def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    if face == "embedded":
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
        return font
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / FACES[face]), size)


def _hanging(board: Board, sheet: tuple[int, ...], size: tuple[int, int]) -> Matrix:
    """Return the homography (3 x 3) from the board to the picture."""
    height, width = sheet
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]], dtype=np.float64) / 2
    corners[[1, 2] if board.tilt > 0 else [0, 3], 1] *= 1 - abs(board.tilt)
    corners[:, 0] *= 1 - abs(board.tilt) / 2
    angle = np.deg2rad(board.turn)
    corners = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners += np.array(size) * np.array(board.place)
    front = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    return np.asarray(cv2.getPerspectiveTransform(front, corners.astype(np.float32)), dtype=np.float64)


def _hang(picture: Pixels, sheet: Pixels, turn: Matrix) -> Pixels:
    size = picture.shape[1], picture.shape[0]
    board = cv2.warpPerspective(sheet, turn, size, flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.full(sheet.shape[:2], 255, np.uint8), turn, size, flags=cv2.INTER_LINEAR)
    share = (mask / 255.0)[:, :, None]
    return np.asarray(board * share + picture * (1 - share), dtype=np.uint8)


def _moved(corners: Matrix, turn: Matrix) -> tuple[tuple[float, float], ...]:
    moved = cv2.perspectiveTransform(corners[None].astype(np.float32), turn)[0]
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in moved)


def _seen(picture: Pixels, weather: Weather, random: np.random.Generator) -> Pixels:
    """Add light, blur and noise."""
    lit: Matrix = np.asarray(picture * weather.light, dtype=np.float64)
    if weather.blur:
        lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), weather.blur), dtype=np.float64)
    return np.clip(lit + random.normal(0, weather.noise, picture.shape), 0, 255).astype(np.uint8)
