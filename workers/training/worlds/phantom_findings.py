"""What may be wrong with a chest phantom, or lie in it: painters of findings, each of which knows what it painted.

A painter changes the attenuation in place and returns the finding, with points that it reaches to.
Sides are the patient's. Sizes are told in the unit of the finding's measurement, at 350 mm to the picture's side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from workers.training.worlds.phantom_anatomy import SIDES, Field, Points, Shape, Side, filled, sign, stroked

FIELD_MM = 350.0
ENLARGED = (0.54, 0.66)
"""The cardiothoracic ratios of hearts with cardiomegaly: clear of the normal ones."""
FINDINGS = ("nodule", "pleural effusion", "cardiomegaly", "pneumothorax", "pacemaker", "central venous catheter")
"""What is told of a phantom, in the order of its report."""

CLEAN_SHARE = 0.25
WET = 0.3
"""An effusion reaches as far as a pixel is so much water: beyond it nobody would see it."""


@dataclass(frozen=True, eq=False)
class Painted:
    """A finding: its name, the patient's side (empty where it has none), where in the lung, and its measure.

    `region` is upper, middle or lower, or empty. `outline` are points (N × 2, shares) that it reaches to. `measure` is
    of a nodule its diameter in mm, of an effusion the share of the lung's height that it fills, of a heart the
    cardiothoracic ratio, of a pneumothorax the rim in mm; else 0.
    """

    name: str
    side: Side | Literal[""]
    region: str
    outline: Points
    measure: float


@dataclass(frozen=True)
class Chest:
    """A chest that findings are painted into: attenuation, how much of each pixel is lung, and the body's shape."""

    tissue: Field
    lungs: Mapping[Side, Field]
    body: Shape

    @property
    def size(self) -> int:
        """The side of the picture in pixels."""
        return int(self.tissue.shape[0])


def nodule(rng: np.random.Generator, chest: Chest, side: Side) -> Painted:
    """Paint a round opacity into the free part of a lung."""
    body, mm = chest.body, float(rng.uniform(10, 28))
    radius = mm / FIELD_MM / 2
    top, bottom = body.apex + 0.08, body.domes[side] - 0.04
    region, share = (("upper", 0.16), ("middle", 0.5), ("lower", 0.84))[int(rng.integers(3))]
    y = top + (bottom - top) * (share + float(rng.uniform(-0.12, 0.12)))
    inner = body.middle + sign(side) * (0.2 if side == "left" and region != "upper" else 0.13)
    outer = float(body.lateral(y, side)) - sign(side) * (radius + 0.02)
    x = inner + (outer - inner) * float(rng.uniform(0.25, 0.95))
    turns = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    uneven = radius * (1 + rng.uniform(-0.12, 0.12, 20))
    outline = np.stack([x + uneven * np.cos(turns), y + uneven * np.sin(turns)], axis=1).astype(np.float32)
    chest.tissue[...] += np.float32(rng.uniform(0.3, 0.5)) * filled(outline, chest.size, 0.004)
    return Painted("nodule", side, region, outline, round(mm))


def effusion(rng: np.random.Generator, chest: Chest, side: Side) -> Painted:
    """Fill a lung from below, higher at the chest wall than within: a meniscus."""
    body, fills = chest.body, float(rng.uniform(0.2, 0.5))
    lung = body.lung(side)
    top, bottom = float(lung[:, 1].min()), float(lung[:, 1].max())
    level = bottom - fills * (bottom - top)
    wall = float(body.lateral(level, side))
    along = np.linspace(0, 1, 12, dtype=np.float32)
    surface = np.stack([wall + (body.middle - wall) * along, level + 0.1 * np.sqrt(along)], axis=1)
    below = np.array([(body.middle, 1.0), (wall + sign(side) * 0.05, 1.0), (wall + sign(side) * 0.05, level)])
    outline = np.concatenate([surface, below]).astype(np.float32)
    water = filled(outline, chest.size, 0.01) * chest.lungs[side]
    chest.tissue[...] += np.float32(rng.uniform(0.5, 0.65)) * water
    wet = np.argwhere(water > WET)[:, ::-1].astype(np.float32) / np.float32(chest.size)
    return Painted("pleural effusion", side, "lower", wet, round(fills, 2))


def pneumothorax(rng: np.random.Generator, chest: Chest, side: Side) -> Painted:
    """Free a rim beside the lung of its vessels, and draw the line of the visceral pleura."""
    body, mm = chest.body, float(rng.uniform(16, 40))
    rim = mm / FIELD_MM
    heights = np.linspace(body.apex + 0.01, body.apex + (body.domes[side] - body.apex) * 0.8, 16, dtype=np.float32)
    wall = body.lateral(heights, side)
    narrows = np.linspace(1.15, 0.45, 16, dtype=np.float32)
    inner = np.stack([wall - sign(side) * rim * narrows, heights + rim * 0.9 * (narrows - 0.45)], axis=1)
    outer = np.stack([wall + sign(side) * 0.02, heights], axis=1)[::-1]
    air = filled(np.concatenate([inner, outer]).astype(np.float32), chest.size, 0.003) * chest.lungs[side]
    empty = np.float32(0.16)
    chest.tissue[...] += air * (empty - chest.tissue) * np.float32(0.75)
    chest.tissue[...] += np.float32(0.22) * stroked([(inner.astype(np.float32), 0.006)], chest.size, 0.002)
    return Painted("pneumothorax", side, "upper", np.concatenate([inner, outer]).astype(np.float32), round(mm))


def pacemaker(rng: np.random.Generator, chest: Chest, side: Side) -> Painted:
    """Lay a generator under the clavicle, with a lead into the heart."""
    body = chest.body
    x = body.middle + sign(side) * (0.7 * body.half_width + float(rng.uniform(-0.02, 0.03)))
    y = body.apex + float(rng.uniform(0.1, 0.15))
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    wide, tall = rng.uniform(0.045, 0.058), rng.uniform(0.038, 0.048)
    round_ = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    superellipse = np.sign(round_) * np.abs(round_) ** 0.55  # Lamé's
    can = ((x, y) + superellipse * (wide, tall)).astype(np.float32)
    x0, y0, x1, y1 = body.heart(0.42)
    tip = (x0 + 0.55 * (x1 - x0) + float(rng.uniform(0, 0.05)), y1 - 0.07)
    vein = [(x - sign(side) * 0.12, y - 0.05), (body.middle - 0.045, y + 0.06)]
    lead = _bent([(x, y), *vein, (x0 + 0.04, y0 + 0.12), tip])
    chest.tissue[...] += np.float32(1.3) * filled(can, chest.size, 0.002)
    chest.tissue[...] += np.float32(0.8) * stroked([(lead, 0.007)], chest.size, 0.001)
    return Painted("pacemaker", side, "", np.concatenate([can, lead]), 0.0)


def catheter(rng: np.random.Generator, chest: Chest, side: Side) -> Painted:
    """Lead a thin line from the neck to above the heart, where the great vein enters it."""
    body = chest.body
    start = (body.middle + sign(side) * float(rng.uniform(0.09, 0.12)), 0.0)
    shoulder = (body.middle + sign(side) * 0.075, body.apex + 0.06)
    tip = (body.middle - 0.05, body.apex + float(rng.uniform(0.27, 0.33)))
    line = _bent([start, shoulder, (body.middle - 0.045, body.apex + 0.15), tip])
    chest.tissue[...] += np.float32(0.75) * stroked([(line, 0.006)], chest.size, 0.001)
    return Painted("central venous catheter", side, "", line, 0.0)


PAINTERS: Mapping[str, Callable[[np.random.Generator, Chest, Side], Painted]] = MappingProxyType(
    {
        "nodule": nodule,
        "pleural effusion": effusion,
        "pneumothorax": pneumothorax,
        "pacemaker": pacemaker,
        "central venous catheter": catheter,
    }
)


def chosen(rng: np.random.Generator) -> list[tuple[str, Side]]:
    """Choose what is to be found and where: nothing in one chest of four, else one to three.

    No air above water, and no nodule in the lung of either, where it could not be seen.
    """
    if rng.random() < CLEAN_SHARE:
        return []
    names = set(rng.choice(FINDINGS, size=int(rng.integers(1, 4)), replace=False).tolist())
    if {"pneumothorax", "pleural effusion"} <= names:
        names.discard(str(rng.choice(["pneumothorax", "pleural effusion"])))
    sides: dict[str, Side] = {name: SIDES[int(rng.integers(2))] for name in FINDINGS}
    for hides in names & {"pneumothorax", "pleural effusion"}:
        sides["nodule"] = "left" if sides[hides] == "right" else "right"
    return [(name, sides[name]) for name in FINDINGS if name in names]


def _bent(corners: list[tuple[float, float]]) -> Points:
    """Round a line's corners (Chaikin 1974)."""
    points = np.array(corners, np.float32)
    for _ in range(2):
        near, far = 0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]
        inner = np.stack([near, far], axis=1).reshape(-1, 2)
        points = np.concatenate([points[:1], inner, points[-1:]])
    return points
