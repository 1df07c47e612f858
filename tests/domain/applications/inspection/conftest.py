"""An inspection of made-up detections: the application runs as it is, on a Vision that answers from a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from domain.applications.application import Case, Memory
from domain.applications.inspection.contract import APPLICATION
from domain.applications.inspection.recipe import DETECTOR_CLASSES
from domain.applications.inspection.result import InspectionResult
from domain.errors import RegistrationFailed
from domain.geometry import Box, Mask
from domain.vision import Detection, Picture, Quality, Registration, Vision

WIDTH, HEIGHT = 200, 100

Shape = tuple[float, float, float, float]

ORDINARY = Quality(sharpness=120.0, brightness=0.5, contrast=0.1)
CLOSE = Registration(correlation=0.98, covered=1.0, shift_px=2.5, rotation_deg=0.1, scale=1.0)


@dataclass
class TableVision:
    """Answers `detect`, `align`, `classes` and `quality` from tables, and nothing else.

    A picture whose place in `fits` is None cannot be laid under its reference; one that is `even` shows too little.
    """

    detections: dict[str, tuple[Detection, ...]]
    known: tuple[str, ...] = DETECTOR_CLASSES
    measures: dict[str, Quality] = field(default_factory=dict)
    fits: dict[str, Registration | None] = field(default_factory=dict)
    even: str = ""
    asked: list[tuple[str, str | None, float]] = field(default_factory=list)
    compared: list[tuple[str, str]] = field(default_factory=list)

    def detect(
        self,
        picture: Picture,
        *,
        reference: Picture | None = None,
        model: str | None = None,
        min_score: float = 0.25,
    ) -> tuple[Detection, ...]:
        self.asked.append((picture.name, model, min_score))
        if reference is not None:
            self.compared.append((picture.name, reference.name))
            if picture.name == self.even:
                raise RegistrationFailed("the reference shows too little")
        return tuple(one for one in self.detections[picture.name] if one.score >= min_score)

    def align(self, picture: Picture, reference: Picture) -> tuple[Picture, Registration]:
        fit = self.fits.get(picture.name, CLOSE)
        if fit is None:
            raise RegistrationFailed("they do not show the same")
        return Picture(f"{reference.name} over {picture.name}", picture.width, picture.height), fit

    def classes(self, *, model: str | None = None) -> tuple[str, ...]:
        return self.known

    def quality(self, picture: Picture) -> Quality:
        return self.measures.get(picture.name, ORDINARY)


def detection(label: str, score: float = 0.9, shape: Shape = (10, 10, 30, 14), *, masked: bool = True) -> Detection:
    """A detection whose mask fills its box."""
    x0, y0, x1, y1 = shape
    box = Box(x0=x0, y0=y0, x1=x1, y1=y1)
    return Detection(label=label, score=score, box=box, mask=Mask.covering(box, HEIGHT, WIDTH) if masked else None)


Inspect = Callable[..., InspectionResult]


@pytest.fixture(scope="session")
def inspect() -> Inspect:
    """Inspect pictures of 200 by 100 pixels: a list of detections for each, then the parameters by name."""

    def run(
        *pictures: Sequence[Detection],
        measures: dict[str, Quality] | None = None,
        known: tuple[str, ...] = DETECTOR_CLASSES,
        **parameters: Any,
    ) -> InspectionResult:
        names = [f"picture-{number}" for number in range(len(pictures))]
        vision = TableVision(dict(zip(names, map(tuple, pictures), strict=True)), known, measures or {})
        handles = tuple(Picture(name, WIDTH, HEIGHT) for name in names)
        parsed = APPLICATION.parse(parameters)
        return APPLICATION.run(Case(parsed, handles, cast("Vision", vision), cast("Memory", None)))

    return run


@pytest.fixture(scope="session")
def defect() -> Callable[..., Detection]:
    """Build a detection whose mask fills its box: class, score, `xyxy`."""
    return detection


@pytest.fixture(scope="session")
def table_vision() -> type[TableVision]:
    """A Vision that answers from a table."""
    return TableVision
