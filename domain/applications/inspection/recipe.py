"""Recipes: what counts as a defect on a part, and which defects reject it or send it to rework.

A recipe is data. It ships as `recipes/NAME.toml` or comes inline with a job; how its rules are weighed is `decide.py`.
"""

import json
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from domain.geometry import Polygon, Score, Value

RECIPES = Path(__file__).parent / "recipes"

DETECTOR_CLASSES = ("scratch", "pit", "crack", "stain", "inclusion")
"""What the embedded detector is trained to find."""

GATES = ("grey-band", "no-rule", "quality", "reference", "region")
"""Reasons that come from the inspection itself; no rule may bear such a name."""

FARTHEST = 1_000_000.0
"""The greatest coordinate of a polygon, in pixels: far beyond any picture, and safe to multiply."""


class Verdict(StrEnum):
    """What becomes of the part."""

    ACCEPT = "ACCEPT"
    """nothing speaks against it"""
    UNDECIDED = "UNDECIDED"
    """it could not be told; a person decides"""
    REWORK = "REWORK"
    """it can be mended, and is inspected again"""
    REJECT = "REJECT"
    """it is scrap"""


def _as_points(told: object) -> object:
    """Accept a bare list of points as a polygon."""
    return {"points": told} if isinstance(told, list | tuple) else told


def _within_reach(polygon: Polygon) -> Polygon:
    """Refuse coordinates that no picture has, and outlines too long to be drawn by hand."""
    if len(polygon.points) > 1000:
        raise ValueError(f"a polygon takes at most 1000 points, not {len(polygon.points)}")
    if any(abs(value) > FARTHEST for point in polygon.points for value in point):
        raise ValueError(f"a polygon's coordinates are pixels, at most {FARTHEST:.0f}")
    return polygon


Outline = Annotated[
    Polygon,
    BeforeValidator(_as_points, json_schema_input_type=Polygon | list[tuple[float, float]]),
    AfterValidator(_within_reach),
]
"""A polygon in pixels, given as `{"points": [[x, y], ...]}` or simply as `[[x, y], ...]`."""

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]

Size = Annotated[float, Field(ge=0)]


class Limit(NamedTuple):
    """One limit of a rule: in millimetres, in pixels, or in both."""

    quantity: Literal["area", "length"]
    bound: Literal["min", "max"]
    mm: float | None
    px: float | None


class Rule(Value):
    """Which defects, and how many of them, reject a part or send it to rework.

    A defect counts for the rule when it has one of `classes` (left out: any of the recipe's), lies in `zone` (if one is
    named) and keeps every limit, which are inclusive. The rule fires when more than `max_count` defects count. A limit
    in millimetres holds where there is a calibration; without one, the same limit in pixels takes its place.
    """

    name: Name
    outcome: Literal["REJECT", "REWORK"]
    classes: tuple[Name, ...] | None = Field(default=None, min_length=1)
    zone: Name | None = None
    max_count: int = Field(default=0, ge=0)
    min_area_mm2: Size | None = None
    max_area_mm2: Size | None = None
    min_area_px: Size | None = None
    max_area_px: Size | None = None
    min_length_mm: Size | None = None
    max_length_mm: Size | None = None
    min_length_px: Size | None = None
    max_length_px: Size | None = None

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits that are set."""
        every = (
            Limit("area", "min", self.min_area_mm2, self.min_area_px),
            Limit("area", "max", self.max_area_mm2, self.max_area_px),
            Limit("length", "min", self.min_length_mm, self.min_length_px),
            Limit("length", "max", self.max_length_mm, self.max_length_px),
        )
        return tuple(limit for limit in every if limit.mm is not None or limit.px is not None)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for low, high in (
            ("min_area_mm2", "max_area_mm2"),
            ("min_area_px", "max_area_px"),
            ("min_length_mm", "max_length_mm"),
            ("min_length_px", "max_length_px"),
        ):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(
                    f"rule {self.name!r}: {low} {least:g} is more than {high} {most:g}, so no defect could keep both"
                )
        if self.name in GATES:
            raise ValueError(f"a rule cannot be called {self.name!r}: the names {', '.join(GATES)} are taken")
        return self


class QualityLimits(Value):
    """What a picture must be like to be judged at all; see `domain.vision.Quality` for the measures.

    The defaults refuse only what shows nothing: a covered lens, a saturated sensor, a dead camera. `min_sharpness` is
    off, because a clean, even surface is rightly as smooth as a blurred one: set it from your own pictures.
    """

    min_brightness: float = Field(default=0.03, ge=0, le=1)
    max_brightness: float = Field(default=0.97, ge=0, le=1)
    min_contrast: float = Field(default=0.002, ge=0, le=1)
    min_sharpness: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min_brightness > self.max_brightness:
            raise ValueError(
                f"min_brightness {self.min_brightness:g} is more than max_brightness {self.max_brightness:g}, "
                f"so no picture could pass"
            )
        return self


class ReferenceLimits(Value):
    """How well a golden reference must lie over a picture; see `domain.vision.Registration` for the measures."""

    min_correlation: float = Field(default=0.8, ge=0, le=1)
    min_covered: float = Field(default=0.98, ge=0, le=1)


class Recipe(Value):
    """What is looked for on a part and what is done about it."""

    name: Name = "inline"
    version: Name = "1"
    classes: tuple[Name, ...] = Field(default=DETECTOR_CLASSES, min_length=1, max_length=200)
    min_score: Score = 0.4
    """from here on a defect is certain"""
    review_score: Score = 0.25
    """from here up to `min_score` lies the grey band, which leaves the part undecided"""
    inside_share: float = Field(default=0.5, gt=0, le=1)
    """a detection counts when at least this share of it lies in the inspected area"""
    zone_share: float = Field(default=0.1, gt=0, le=1)
    """a defect lies in a zone when at least this share of it does"""
    zones: Mapping[Name, Outline] = Field(default_factory=dict, max_length=64)
    quality: QualityLimits = QualityLimits()
    reference: ReferenceLimits = ReferenceLimits()
    rules: tuple[Rule, ...] = Field(default=(), max_length=200)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.review_score > self.min_score:
            raise ValueError(
                f"review_score {self.review_score:g} is more than min_score {self.min_score:g}; "
                f"the grey band reaches from the one up to the other"
            )
        _refuse_repeated("class", self.classes)
        _refuse_repeated("rule", [rule.name for rule in self.rules])
        return self

    @model_validator(mode="after")
    def _names_known(self) -> Self:
        zones = ", ".join(self.zones) or "none"
        for rule in self.rules:
            strange = [name for name in rule.classes or () if name not in self.classes]
            if strange:
                known = ", ".join(self.classes)
                raise ValueError(
                    f"rule {rule.name!r} names the class {strange[0]!r}; the recipe's classes are: {known}"
                )
            if rule.zone is not None and rule.zone not in self.zones:
                raise ValueError(f"rule {rule.name!r} names the zone {rule.zone!r}; the recipe's zones are: {zones}")
        return self

    @property
    def digest(self) -> str:
        """The SHA-256 of the recipe's content, in hexadecimal: equal for equal recipes, however they were written."""
        return sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def concerned(self, rule: Rule) -> tuple[str, ...]:
        """Return the classes that a rule speaks of."""
        return rule.classes or self.classes


def _refuse_repeated(what: str, names: "tuple[str, ...] | list[str]") -> None:
    """Raise ValueError that names what occurs twice."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"the {what} {repeated[0]!r} is named twice")


@cache
def shipped() -> MappingProxyType[str, Recipe]:
    """Return the recipes that ship with the application, by name."""
    found = {
        path.stem: Recipe.model_validate(tomllib.loads(path.read_text("utf-8"))) for path in RECIPES.glob("*.toml")
    }
    return MappingProxyType(dict(sorted(found.items())))


def named(told: object) -> object:
    """Turn the name of a shipped recipe into the recipe; leave anything else to be validated.

    Raises ValueError that lists the recipes.
    """
    if not isinstance(told, str):
        return told
    if told not in shipped():
        raise ValueError(f"there is no recipe {told!r}; there are: {', '.join(shipped())}; or send a recipe object")
    return shipped()[told]
