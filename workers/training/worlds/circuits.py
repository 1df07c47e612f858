"""Circuit boards with their golden references: the world that inspection by a reference is shown and tested on.

Copper is a mask: bundles of traces that run level, upright or aslant and end in pads, and a plane here and there. A
flaw changes that mask (`circuit_flaws.py`). Then both are photographed: the reference by another shot, in which the
board lies a little elsewhere, in another light. `draw(seed)` gives the same pair for the same arguments, always.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from domain.geometry import Box
from workers.training.worlds.circuit_flaws import FLAWS, Copper

__all__ = ["CLASSES", "BoardPair", "Flaw", "draw"]

CLASSES = tuple(FLAWS)
CLEAN_SHARE = 0.1
MOST_FLAWS = 7
TRIES = 20
SMALLEST_AREA = 20
"""A flaw of fewer pixels could not be seen."""
ROOM = 5
"""A flaw's box has so many pixels around what was changed."""
DIRECTIONS = np.array([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]])
"""of traces, each an eighth of a turn from the next: (x, y)"""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a board, and where."""

    label: str
    box: Box


@dataclass(frozen=True, eq=False)
class BoardPair:
    """A picture of a board and another shot of how it should be, H × W × 3 RGB each; the flaws lie in the picture."""

    picture: Pixels
    reference: Pixels
    flaws: tuple[Flaw, ...]


def draw(seed: int, *, size: tuple[int, int] = (320, 320), flaws: int | None = None) -> BoardPair:
    """Draw a board of `size` (height, width) pixels; `flaws` is their number, None leaves it to chance.

    Where no place is found for a flaw, it is left out.
    """
    rng = np.random.default_rng(seed)
    golden = _layout(rng, size)
    made = golden.copy()
    found: list[Flaw] = []
    for label in rng.choice(CLASSES, _count(rng) if flaws is None else flaws):
        flaw = _flaw(rng, golden, made, str(label), found)
        found += [] if flaw is None else [flaw]
    colours = _colours(rng)
    picture, reference = (_photograph(rng, copper, colours) for copper in (made, golden))
    return BoardPair(picture, _moved(rng, reference), tuple(found))


def _count(rng: np.random.Generator) -> int:
    return 0 if rng.random() < CLEAN_SHARE else int(rng.integers(1, MOST_FLAWS + 1))


def _layout(rng: np.random.Generator, size: tuple[int, int]) -> Copper:
    copper = np.zeros(size, dtype=np.uint8)
    if rng.random() < 0.4:
        _plane(rng, copper)
    for _ in range(int(rng.integers(2, 5))):
        _bundle(rng, copper)
    return copper


def _plane(rng: np.random.Generator, copper: Copper) -> None:
    height, width = copper.shape
    x, y = rng.uniform(0, 0.6, 2) * (width, height)
    w, h = rng.uniform(0.2, 0.45, 2) * (width, height)
    cv2.rectangle(copper, (int(x), int(y)), (int(x + w), int(y + h)), 1, -1)


def _bundle(rng: np.random.Generator, copper: Copper) -> None:
    """Draw parallel traces that turn once, and their pads."""
    height, width = copper.shape
    thick, gap = int(rng.integers(4, 11)), int(rng.integers(7, 16))
    heading = int(rng.integers(8))
    along, turn = DIRECTIONS[heading], DIRECTIONS[(heading + rng.choice([-1, 1])) % 8]
    across = np.array([-along[1], along[0]]) / np.hypot(*along)
    start = rng.uniform(0.1, 0.9, 2) * (width, height)
    first, then = rng.uniform(0.25, 0.7, 2) * min(width, height)
    bends = [start + across * number * (thick + gap) for number in range(int(rng.integers(1, 7)))]
    reach = np.array([-along * first / np.hypot(*along), (0, 0), turn * then / np.hypot(*turn)])
    traces = [np.round(bend + reach).astype(np.int32) for bend in bends]
    room = np.zeros_like(copper)
    cv2.polylines(room, traces, False, 1, thick + 2 * gap)
    copper[room > 0] = 0  # what lies beneath gives way
    cv2.polylines(copper, traces, False, 1, thick)
    for x, y in (end for trace in traces for end in trace[[0, -1]].tolist()):
        _pad(rng, copper, x, y, min(thick + int(rng.integers(0, 4)), thick // 2 + gap - 3))


def _pad(rng: np.random.Generator, copper: Copper, x: int, y: int, radius: int) -> None:
    """Draw a pad, square or round, some with a hole."""
    if rng.random() < 0.3:
        cv2.rectangle(copper, (x - radius, y - radius), (x + radius, y + radius), 1, -1)
    else:
        cv2.circle(copper, (x, y), radius, 1, -1)
    if radius > 8 and rng.random() < 0.5:
        cv2.circle(copper, (x, y), radius // 2, 0, -1)


def _flaw(rng: np.random.Generator, golden: Copper, made: Copper, label: str, taken: list[Flaw]) -> Flaw | None:
    """Make a flaw clear of the others; None, with the board as it was, where there is no room."""
    for _ in range(TRIES):
        changed = FLAWS[label](rng, golden)
        if changed is None:
            continue
        rows, columns = np.nonzero(changed != golden)
        if rows.size < SMALLEST_AREA:
            continue
        x0, y0, x1, y1 = columns.min() - ROOM, rows.min() - ROOM, columns.max() + 1 + ROOM, rows.max() + 1 + ROOM
        box = Box(x0=x0, y0=y0, x1=x1, y1=y1)
        apart = all(not _meet(box, other.box) for other in taken)
        if apart and box.clipped(golden.shape[1], golden.shape[0]) == box:
            made[changed != golden] = changed[changed != golden]
            return Flaw(label, box)
    return None


def _meet(a: Box, b: Box) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


def _colours(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return ground and copper, 2 × 3 in [0, 1], at least a third of full scale apart; either may be brighter."""
    ground = rng.uniform(0.05, 0.3, 3)
    copper = ground.max() + rng.uniform(0.35, 0.6) + rng.uniform(-0.06, 0.06, 3)
    pair = np.array([ground, copper], dtype=np.float32)
    return pair[::-1].copy() if rng.random() < 0.4 else pair


def _photograph(rng: np.random.Generator, copper: Copper, colours: npt.NDArray[np.float32]) -> Pixels:
    """Take a picture: light that falls off to one side, an edge that is never quite sharp or even, grain."""
    height, width = copper.shape
    rough = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 1.2)
    soft = cv2.GaussianBlur(copper.astype(np.float32), (0, 0), float(rng.uniform(0.5, 1.1))) + 0.4 * rough
    share = np.clip((soft - 0.5) * rng.uniform(1.5, 4) + 0.5, 0, 1)[..., None]
    seen = colours[0] + share * (colours[1] - colours[0])
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    tilt = rng.uniform(-0.12, 0.12, 2)
    seen = (
        seen * (rng.uniform(0.85, 1.1) + tilt[0] * (columns / width - 0.5) + tilt[1] * (rows / height - 0.5))[..., None]
    )
    seen = seen + rng.uniform(0, 0.02) * rng.standard_normal(seen.shape)
    return np.asarray(np.clip(seen * 255 + 0.5, 0, 255), dtype=np.uint8)


def _moved(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """Lay a picture a little elsewhere: by some pixels, turned by less than a degree, hardly enlarged."""
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-0.8, 0.8), rng.uniform(0.995, 1.005))
    how = np.asarray(turn, dtype=np.float64)
    how[:, 2] += rng.uniform(-5, 5, 2)
    moved = cv2.warpAffine(pixels, how, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)
