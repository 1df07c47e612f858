"""What an inspection found and decided."""

from collections.abc import Iterator

from pydantic import Field

from domain.applications.application import Finding, Result
from domain.applications.inspection.recipe import Verdict
from domain.geometry import Box, Calibration, Mask, Polygon, Score, Value
from domain.vision import Quality, Registration


class Defect(Value):
    """One defect; without a mask its area and length are those of the box, which can only be too large."""

    id: str
    image: int = Field(ge=0)
    """which of the job's pictures"""
    label: str
    """its class"""
    score: Score
    certain: bool
    """false in the grey band: listed and left to a person, but neither counted nor held against the part by a rule"""
    box: Box
    mask: Mask | None
    area_px: float
    length_px: float
    """the longest axis: the greatest distance between two points of it"""
    area_mm2: float | None
    length_mm: float | None
    zones: tuple[str, ...] = ()


class Reason(Value):
    """Why the verdict is not ACCEPT."""

    rule: str
    """the recipe's rule, or `grey-band`, `no-rule`, `quality`, `reference`, `region`"""
    outcome: Verdict
    defects: tuple[str, ...] = ()
    """the ids of the defects that caused it"""
    image: int | None = None
    """the picture, where it concerns one picture as a whole"""
    sentence: str


class Ignored(Value):
    """How many detections were left out, and why."""

    outside_roi: int = 0
    in_ignored_area: int = 0
    other_class: int = 0
    """classes that the model knows and the recipe does not list"""

    @property
    def total(self) -> int:
        """All of them."""
        return self.outside_roi + self.in_ignored_area + self.other_class


class PictureQuality(Value):
    """A picture's measures and whether it passed the recipe's gate."""

    image: int
    measures: Quality
    passed: bool


class Comparison(Value):
    """How a golden reference was laid over a picture, and whether that passed the recipe's gate."""

    image: int
    reference: int
    """which of the job's pictures"""
    registration: Registration | None = None
    """None where the two could not be laid over each other: then nothing was looked for in the picture"""
    passed: bool
    problem: str | None = None


class UsedRecipe(Value):
    """Which recipe decided; `digest` is the SHA-256 of its content."""

    name: str
    version: str
    digest: str


class Regions(Value):
    """Where was looked, in pixels: kept so that the picture can be drawn again."""

    roi: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    zones: dict[str, Polygon] = Field(default_factory=dict)


class InspectionResult(Result):
    """The verdict on a part, with everything that led to it."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    """the most severe first; empty where the part is accepted"""
    defects: tuple[Defect, ...]
    counts: dict[str, int]
    """certain defects by class, for each class of the recipe"""
    ignored: Ignored
    quality: tuple[PictureQuality, ...]
    comparisons: tuple[Comparison, ...] = ()
    """one for each inspected picture, where the job has a golden reference"""
    recipe: UsedRecipe
    calibration: Calibration | None
    regions: Regions
    part: str | None = None
    serial: str | None = None
    station: str | None = None
    lot: str | None = None


def findings(result: InspectionResult) -> Iterator[Finding]:
    """Yield a finding for each defect, doubtful ones included (their score says so)."""
    for defect in result.defects:
        yield Finding(
            kind=defect.label,
            score=defect.score,
            image=defect.image,
            box=defect.box,
            area_mm2=defect.area_mm2,
            length_mm=defect.length_mm,
        )


def headline(result: InspectionResult) -> str:
    """Say the verdict and its cause in a few words: `REJECT: crack (2 crack, 1 pit)`."""
    rules = [reason.rule for reason in result.reasons if reason.outcome is result.verdict]
    cause = f": {', '.join(dict.fromkeys(rules))}" if rules else ""
    doubtful = sum(not defect.certain for defect in result.defects)
    seen = [f"{count} {label}" for label, count in result.counts.items() if count]
    seen += [f"{doubtful} doubtful"] if doubtful else []
    return f"{result.verdict}{cause} ({', '.join(seen) or 'no defects'})"
