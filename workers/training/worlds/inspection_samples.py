"""The samples of the inspection application, drawn: pictures, and what the job on each must end with.

`python -m workers.training.worlds.inspection_samples` draws them anew over the ones that ship. What a sample expects is
what the recipe says of the drawing's own defects, not of what a detector found. Seeds lie outside those of training and
of the held-out set.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from domain.applications.application import Case, Memory
from domain.applications.inspection.contract import APPLICATION
from domain.applications.inspection.result import Defect, InspectionResult
from domain.vision import Detection, Picture, Quality, Registration, Vision
from workers.imaging.masks import encode
from workers.imaging.quality import quality
from workers.imaging.registration import register
from workers.models.family import Pixels
from workers.training.worlds import circuits
from workers.training.worlds.surfaces import CLASSES, HELD_OUT_TEXTURES, TRAINING_TEXTURES, Surface, draw

SIDE = 384
"""Width and height of a sample in pixels."""
JPEG_QUALITY = 90


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture (H × W × 3), and all that is wrong in it, without a doubt."""

    pixels: Pixels
    found: tuple[Detection, ...] = ()


@dataclass(frozen=True)
class View:
    """One picture of a sample: what `draw` is asked for, and the share of the light that reaches the camera."""

    seed: int
    classes: Sequence[str] = CLASSES
    defects: int = 1
    textures: Sequence[str] = (*TRAINING_TEXTURES, *HELD_OUT_TEXTURES)
    light: float = 1.0

    def shown(self) -> Shown:
        """Draw it."""
        drawn = draw(self.seed, size=(SIDE, SIDE), textures=self.textures, defects=self.defects, classes=self.classes)
        return of_surface(Surface((drawn.pixels * self.light).astype(np.uint8), drawn.defects, drawn.texture))


def of_surface(surface: Surface) -> Shown:
    """Return a surface with what was drawn into it."""
    masks = [(defect.label, encode(defect.mask)) for defect in surface.defects]
    return Shown(
        surface.pixels, tuple(Detection(label=label, score=1.0, box=mask.box, mask=mask) for label, mask in masks)
    )


@dataclass(frozen=True)
class BoardView:
    """One picture of a circuit board; `golden` is the other shot, of how it should be."""

    seed: int
    flaws: int
    golden: bool = False

    def shown(self) -> Shown:
        """Draw it."""
        pair = circuits.draw(self.seed, flaws=self.flaws)
        if self.golden:
            return Shown(pair.reference)
        return Shown(pair.picture, tuple(Detection(label=flaw.label, score=1.0, box=flaw.box) for flaw in pair.flaws))


@dataclass(frozen=True)
class Plan:
    """A sample to be drawn."""

    name: str
    views: tuple[View | BoardView, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


def _polygon(x0: int, y0: int, x1: int, y1: int) -> list[list[int]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


SEALING_FACE = {
    "name": "sealing-face",
    "version": "1",
    "zones": {"sealing face": _polygon(0, 0, SIDE // 2, SIDE)},
    "rules": [
        {"name": "damaged-seal", "zone": "sealing face", "outcome": "REJECT"},
        {"name": "blemishes", "max_count": 3, "outcome": "REWORK"},
    ],
}

BOARD = {
    "name": "board",
    "version": "1",
    "classes": list(circuits.CLASSES),
    "rules": [
        {"name": "broken", "classes": ["open", "short"], "outcome": "REJECT"},
        {"name": "blemished", "outcome": "REWORK"},
    ],
}
COMPARED = {"model": "boards", "reference": 1, "recipe": BOARD}

PLANS = (
    Plan("clean", (View(5_000_020, defects=0),)),
    Plan("short-scratch", (View(5_009_110, ("scratch",)),), {"part": "cover", "calibration": 0.05}),
    Plan("long-scratch", (View(5_001_060, ("scratch",)),), {"part": "housing", "calibration": 0.1}),
    Plan("pits", (View(5_002_060, ("pit",), 4),), {"lot": "L-0417"}),
    Plan("small-stain", (View(5_003_060, ("stain",)),), {"calibration": 0.05}),
    Plan("stain-without-scale", (View(5_004_010, ("stain",)),), {"recipe": "strict"}),
    Plan("outside-roi", (View(5_005_100, ("crack",)),), {"roi": [_polygon(0, 0, SIDE, SIDE // 2)]}),
    Plan(
        "sealing-face", (View(5_006_200, ("inclusion", "scratch"), 2, ("brushed", "cast")),), {"recipe": SEALING_FACE}
    ),
    Plan(
        "two-sides",
        (
            View(5_007_090, defects=0, textures=("blasted",)),
            View(5_007_091, ("inclusion", "crack"), 2, ("blasted",)),
        ),
        {"part": "bracket", "serial": "000231", "calibration": {"mm_per_px_x": 0.08, "mm_per_px_y": 0.1}},
    ),
    Plan("no-light", (View(5_008_000, defects=0, light=0.02),), {"station": "line-2"}),
)

BOARDS = (
    Plan("board", (BoardView(5_010_268, 0), BoardView(5_010_268, 0, golden=True)), COMPARED),
    Plan("broken-board", (BoardView(5_010_013, 3), BoardView(5_010_013, 3, golden=True)), COMPARED),
    Plan("another-board", (BoardView(5_010_085, 0), BoardView(5_010_268, 0, golden=True)), COMPARED),
)
"""Boards beside their golden references. They do not ship: the pack has no model of pairs that could be relied on."""


@dataclass(frozen=True)
class Truth:
    """A Vision that sees exactly what was drawn."""

    shown: Mapping[str, Shown]
    known: Sequence[str] = CLASSES

    def classes(self, *, model: str | None = None) -> tuple[str, ...]:
        """Return the classes that are drawn."""
        return tuple(self.known)

    def detect(
        self,
        picture: Picture,
        *,
        reference: Picture | None = None,
        model: str | None = None,
        min_score: float = 0.25,
    ) -> tuple[Detection, ...]:
        """Return what was drawn, without a doubt."""
        return self.shown[picture.name].found

    def align(self, picture: Picture, reference: Picture) -> tuple[Picture, Registration]:
        """Lay a golden reference over a picture."""
        fit = register(self.shown[picture.name].pixels, self.shown[reference.name].pixels)
        return reference, fit.registration

    def quality(self, picture: Picture) -> Quality:
        """Measure the picture."""
        return quality(self.shown[picture.name].pixels)


def expected(plan: Plan, shown: Mapping[str, Shown]) -> dict[str, Any]:
    """Return what the recipe says of the defects that were drawn."""
    pictures = tuple(Picture(name, one.pixels.shape[1], one.pixels.shape[0]) for name, one in shown.items())
    parameters = APPLICATION.parse(dict(plan.parameters))
    vision = cast("Vision", Truth(shown, parameters.recipe.classes or CLASSES))
    result: InspectionResult = APPLICATION.run(Case(parameters, pictures, vision, cast("Memory", None)))
    return {
        "verdict": result.verdict.value,
        "rules": sorted({reason.rule for reason in result.reasons}),
        "classes": [label for label, count in result.counts.items() if count],
        "counts": result.counts,
        "ignored": result.ignored.total,
        "boxes": [_expected_box(defect) for defect in result.defects],
    }


def _expected_box(defect: Defect) -> dict[str, Any]:
    return {"image": defect.image, "label": defect.label, "box": [round(value) for value in defect.box.xyxy]}


def write(plan: Plan, folder: Path) -> None:
    """Draw a sample's pictures and write them beside its JSON file."""
    shown = {f"{plan.name}-{number}.jpg": view.shown() for number, view in enumerate(plan.views, start=1)}
    for name, one in shown.items():
        bgr = cv2.cvtColor(one.pixels, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / name).write_bytes(encoded.tobytes())
    told = {"images": list(shown), "parameters": plan.parameters, "expect": expected(plan, shown)}
    (folder / f"{plan.name}.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")


def main() -> None:
    """Draw all samples over the ones that ship."""
    for plan in PLANS:
        write(plan, APPLICATION.samples)


if __name__ == "__main__":
    main()
