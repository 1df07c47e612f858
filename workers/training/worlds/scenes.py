"""Scenes: things of a kind and a colour, and symbols, on some ground, each with its box; the truth is known.

`draw(seed)` gives the same scene for the same arguments, always. `TRAINING_WORLD` is what may be learned from;
`HELD_OUT_WORLD` has the same pairs of colour and kind on grounds that are never trained on; `UNSEEN_WORLD` has the
pairs that are never trained on, on those grounds; `ALL_WORLD` has both. What can be said of a scene is in
`scene_words`, what can be asked in `scene_questions`, what each patch shows in `scene_patches`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from domain.geometry import Box
from workers.training.worlds import backgrounds, sprites
from workers.training.worlds.objects import KINDS, PAIRS, SEEN, UNSEEN, Pair
from workers.training.worlds.palette import Rgb, difference, paint
from workers.training.worlds.sprites import Sprite
from workers.training.worlds.symbols import SYMBOLS, symbol
from workers.training.worlds.textures import Field

__all__ = ["ALL_WORLD", "HELD_OUT_WORLD", "TRAINING_WORLD", "UNSEEN_WORLD", "Scene", "Thing", "World", "draw"]

Random = np.random.Generator
MOST_THINGS = 5
TRIES = 25
CONTRAST = 0.3
"""How far a thing's colour is at least from what it stands before (see `palette.difference`)."""
LONGER_SIDE: Mapping[int, tuple[float, float]] = {1: (0.35, 0.85), 2: (0.28, 0.5), 3: (0.25, 0.42), 4: (0.22, 0.36)}
"""By the number of things: how long a thing is, in shares of the picture's side."""
ALIKE_SHARE = 0.3
"""The share of the scenes with several things in which some are of one kind and colour."""
SYMBOL_SHARE = 0.2
"""The share of the things that are symbols, where a world has symbols."""


@dataclass(frozen=True)
class World:
    """What a scene may be made of."""

    name: str
    grounds: tuple[str, ...]
    pairs: tuple[Pair, ...]
    symbols: bool = True


TRAINING_WORLD = World("training", tuple(backgrounds.TRAINING), SEEN)
HELD_OUT_WORLD = World("held-out", tuple(backgrounds.HELD_OUT), SEEN)
UNSEEN_WORLD = World("unseen", tuple(backgrounds.HELD_OUT), tuple(sorted(UNSEEN)), symbols=False)
ALL_WORLD = World("all", tuple(backgrounds.HELD_OUT), PAIRS)
WORLDS = {world.name: world for world in (TRAINING_WORLD, HELD_OUT_WORLD, UNSEEN_WORLD, ALL_WORLD)}


@dataclass(frozen=True, eq=False)
class Thing:
    """A thing in a scene. `colour` is empty for a symbol, which has colours of its own; `mask` is H×W booleans."""

    kind: str
    colour: str
    box: Box
    mask: npt.NDArray[np.bool_]

    @property
    def pair(self) -> Pair:
        """Its colour and its kind."""
        return self.colour, self.kind

    @property
    def name(self) -> str:
        """Its colour and its kind in words."""
        return f"{self.colour} {self.kind}".strip()


@dataclass(frozen=True, eq=False)
class Scene:
    """A drawn picture (S×S×3 RGB), what is on it, and the ground it was drawn on."""

    pixels: npt.NDArray[np.uint8]
    things: tuple[Thing, ...]
    ground: str


def draw(
    seed: int | Sequence[int],
    *,
    side: int = 112,
    world: World = TRAINING_WORLD,
    things: int | None = None,
    wanted: Sequence[Pair] = (),
) -> Scene:
    """Draw a scene of `side` × `side` pixels.

    `things` is their number; None leaves it to chance. `wanted` says of what kind and colour (empty for a symbol) the
    first ones are. A thing that finds no free place is left out; there is always one.
    """
    rng = np.random.default_rng(seed)
    ground = str(rng.choice(world.grounds))
    canvas = backgrounds.draw(rng, ground, (side, side))
    count = things or int(rng.choice([1, 2, 3, 4, MOST_THINGS], p=[0.4, 0.22, 0.18, 0.12, 0.08]))
    pairs = [*wanted, *_pairs(rng, world, count - len(wanted))]
    found: list[Thing] = []
    for pair in pairs:
        thing = _placed(rng, canvas, pair, count, found)
        if thing is not None:
            found.append(thing)
    return Scene(_photographed(rng, canvas), tuple(found), ground)


def _pairs(rng: Random, world: World, count: int) -> list[Pair]:
    """Choose what stands in a scene; some of it alike."""
    alike = rng.random() < ALIKE_SHARE
    chosen: list[Pair] = []
    for _ in range(count):
        if chosen and alike and rng.random() < 0.75:
            chosen.append(chosen[0])
        elif world.symbols and rng.random() < SYMBOL_SHARE:
            chosen.append(("", list(SYMBOLS)[int(rng.integers(len(SYMBOLS)))]))
        else:
            chosen.append(world.pairs[int(rng.integers(len(world.pairs)))])
    return chosen


def _placed(rng: Random, canvas: Field, pair: Pair, count: int, taken: Sequence[Thing]) -> Thing | None:
    """Paint a thing clear of the others; None where there is no room."""
    side = canvas.shape[0]
    low, high = LONGER_SIDE[min(count, max(LONGER_SIDE))]
    for length in (side * rng.uniform(low, high), side * low):
        sprite, colour = _sprite(rng, pair, length)
        bounds = _bounds(sprite)
        for attempt in range(TRIES):
            left, top = (int(rng.integers(max(side - extent + 1, 1))) for extent in sprite.cover.shape[::-1])
            box = Box(x0=bounds[0] + left, y0=bounds[1] + top, x1=bounds[2] + left, y1=bounds[3] + top)
            if any(_touch(box, other.box) for other in taken):
                continue
            place = canvas[top : top + sprite.cover.shape[0], left : left + sprite.cover.shape[1]]
            if colour is not None and difference(colour, place.mean(axis=(0, 1))) < CONTRAST:
                if attempt < TRIES - 1 or length > side * low:
                    continue
                place += np.float32(0.75) * (1 - colour.round() - place)  # a patch of another shade beneath it
            mask = np.zeros((side, side), dtype=bool)
            mask[top : top + place.shape[0], left : left + place.shape[1]] = sprite.cover > 0.5
            place += sprite.cover[..., None] * (sprite.colours - place)
            return Thing(pair[1], pair[0], box, mask)
    return None


def _sprite(rng: Random, pair: Pair, length: float) -> tuple[Sprite, Rgb | None]:
    """Return a drawn thing or symbol, and the colour that is to stand out from the ground (none of a symbol)."""
    colour, kind = pair
    if not colour:
        return symbol(rng, kind, length), None
    shade = paint(rng, colour)
    return sprites.thing(rng, KINDS[kind], shade, length), shade


def _bounds(sprite: Sprite) -> tuple[float, float, float, float]:
    """Return the box of what a sprite covers at least by half: x0, y0, x1, y1 in its own pixels."""
    solid = sprite.cover > 0.5
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _touch(one: Box, other: Box) -> bool:
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


def _photographed(rng: Random, canvas: Field) -> npt.NDArray[np.uint8]:
    """Light the scene and take its picture: exposure, falloff, white balance, defocus, sensor noise."""
    side = canvas.shape[0]
    ramp = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    light = np.float32(rng.uniform(-0.2, 0.2)) * ramp[None, :] + np.float32(rng.uniform(-0.2, 0.2)) * ramp[:, None]
    gain = np.asarray(rng.uniform(0.88, 1.08) * rng.uniform(0.97, 1.03, 3), dtype=np.float32)
    seen = canvas * (1 + light)[..., None] * gain
    defocus = rng.uniform(-0.4, 0.9) * side / 112
    if defocus > 0.25:
        seen = cv2.GaussianBlur(seen, (0, 0), defocus)
    if rng.random() < 0.6:
        seen = seen + np.float32(rng.uniform(0, 0.04)) * rng.standard_normal(seen.shape, dtype=np.float32)
    return np.asarray(np.clip(seen * 255 + 0.5, 0, 255), dtype=np.uint8)
