"""The parameters and the result of `signs`."""

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from domain.applications.application import Parameters, Result
from domain.applications.signs.languages import AUTO, supported
from domain.geometry import Polygon, Score, Value
from domain.vision import Palette


class SignsParameters(Parameters):
    """What to translate into what, and how sure the answers must be."""

    target: str = Field(default="en", description="ISO 639-1 code of the language to translate into")
    source: str = Field(default=AUTO, description="ISO 639-1 code of the signs' language, or `auto`")
    min_confidence: Score = Field(default=0.5, description="lines read less surely are left out and counted")
    min_language_score: Score = Field(default=0.8, description="a language identified less surely is unknown")

    @field_validator("target")
    @classmethod
    def _target(cls, code: str) -> str:
        return supported(code)

    @field_validator("source")
    @classmethod
    def _source(cls, code: str) -> str:
        return supported(code, auto=True)


class Provenance(StrEnum):
    """Where a translation comes from; every region is in exactly one of these states."""

    MEMORY = "memory"
    """the tenant's translation memory has this very text"""
    PHRASEBOOK = "phrasebook"
    """a phrase of the phrasebook"""
    MODEL = "model"
    """a translation model"""
    SAME_LANGUAGE = "same_language"
    """nothing to do: the text is in the target language, or reads the same there"""
    UNTRANSLATED = "untranslated"
    """nobody knew it; never a guess"""


class Overlay(Value):
    """How to paint the translation over the sign.

    `angle` in degrees, clockwise as seen; `font_px` the height of the letters in pixels, small enough for the
    translation to fit the width of the quadrilateral, which is the region's, in a block as wide as the widest line.
    """

    quad: Polygon
    angle: float
    font_px: float = Field(gt=0)
    palette: Palette


class Block(Value):
    """Lines that are one phrase together, say "NO / PARKING".

    `lines` are the `order`s of its regions; each region's own translation is its share of `translation`, which may be
    empty where the translation has fewer words than the sign has lines.
    """

    lines: tuple[int, ...] = Field(min_length=2)
    text: str
    translation: str


class Region(Value):
    """One line of text on one of the job's images."""

    image: int = Field(default=0, ge=0)
    order: int = Field(ge=0, description="reading order within the image, from 0")
    quad: Polygon = Field(description="four corners in pixels from the text's own top left, clockwise")
    text: str
    confidence: Score
    language: str | None = Field(description="ISO 639-1 code; null where it cannot be told")
    language_by: Literal["request", "memory", "phrasebook", "company", "identified"] | None = Field(
        description="what told the language; `company` is the rest of the same image"
    )
    translation: str | None
    provenance: Provenance
    phrase: str | None = Field(default=None, description="id of the phrase")
    match: Score | None = Field(default=None, description="share of the letters that agree with the phrase")
    model: str | None = Field(default=None, description="which model translated")
    block: Block | None = None
    overlay: Overlay

    @model_validator(mode="after")
    def _one_state(self) -> Self:
        if (self.provenance == Provenance.PHRASEBOOK) != (self.phrase is not None and self.match is not None):
            raise ValueError("a phrase and its match belong to the provenance `phrasebook`, and to it alone")
        if (self.provenance == Provenance.MODEL) != (self.model is not None):
            raise ValueError("a model belongs to the provenance `model`, and to it alone")
        if (self.provenance == Provenance.UNTRANSLATED) != (self.translation is None):
            raise ValueError("a region without translation is `untranslated`, and no other is")
        if (self.language is None) != (self.language_by is None):
            raise ValueError("a language says what told it")
        return self


class SignsResult(Result):
    """The lines of all images, by image and reading order."""

    target: str
    source: str
    regions: tuple[Region, ...]
    left_out: int = Field(ge=0, description="lines read less surely than `min_confidence`")
