"""The parameters of `vision`: one step, or a chain of them."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from domain.applications.application import Parameters
from domain.errors import InvalidRequest
from domain.geometry import Box, Point, Score, Value
from domain.schemas import closed
from domain.vision import Capability

MOST_STEPS = 8


class Offered(StrEnum):
    """What a step may ask for; `imagine` is not among them: a job has no place to keep a picture."""

    CLASSIFY = Capability.CLASSIFY
    EMBED = Capability.EMBED
    DETECT = Capability.DETECT
    GROUND = Capability.GROUND
    SEGMENT = Capability.SEGMENT
    ASK = Capability.ASK
    CAPTION = Capability.CAPTION
    DRAFT = Capability.DRAFT
    READ = Capability.READ
    IDENTIFY = Capability.IDENTIFY
    TRANSLATE = Capability.TRANSLATE


ON_TEXT = frozenset({Offered.IDENTIFY, Offered.TRANSLATE})
"""What works on a text; all else works on pixels."""
GIVES_TEXT = frozenset({Offered.ASK, Offered.CAPTION, Offered.DRAFT, Offered.READ, Offered.TRANSLATE})
"""What a step that works on a text may follow."""
NEEDS = {
    Offered.CLASSIFY: ("labels",),
    Offered.GROUND: ("phrases",),
    Offered.ASK: ("question",),
    Offered.DRAFT: ("instruction",),
    Offered.IDENTIFY: ("candidates",),
    Offered.TRANSLATE: ("source", "target"),
}
"""The fields that a step cannot do without. `segment` needs one of three, and is checked by itself."""
TAKES = {
    **NEEDS,
    Offered.DETECT: ("min_score",),
    Offered.GROUND: ("phrases", "min_score"),
    Offered.SEGMENT: ("boxes", "points", "phrase"),
    Offered.ASK: ("question", "options", "answer_schema", "examples"),
    Offered.IDENTIFY: ("candidates", "text"),
    Offered.TRANSLATE: ("source", "target", "text"),
}
"""The fields that mean something to a step; any other one is an error, not ignored."""


def _split(value: Any) -> Any:  # noqa: ANN401  (whatever came)
    """Take `a cat, a dog` for a list of two: so it is typed on a command line."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Words = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=500)], ...], BeforeValidator(_split)]


def _held_to(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        closed(schema)
    except InvalidRequest as error:
        raise ValueError(error.message) from error
    return schema


Text = Annotated[str, Field(min_length=1, max_length=20_000)]


class Shown(Value):
    """A worked example: one of the job's images, and the right answer to the step's question about it."""

    image: int = Field(ge=0, description="which of the job's images; it is not asked about itself")
    answer: Text


class Step(Value):
    """One question to one model."""

    capability: Offered
    model: str | None = Field(
        default=None, description="a name of models.toml; default: the profile's for the capability"
    )
    labels: Words = Field(default=(), max_length=1_000, description="classify: what the picture may show")
    phrases: Words = Field(default=(), max_length=500, description="ground: what to look for")
    boxes: tuple[Box, ...] = Field(default=(), max_length=200, description="segment: one mask for each, in pixels")
    points: tuple[Point, ...] = Field(default=(), max_length=200, description="segment: one mask for all, in pixels")
    phrase: Text | None = Field(default=None, description="segment: what to draw around")
    question: Text | None = Field(default=None, description="ask")
    options: Words = Field(default=(), max_length=100, description="ask: the answers to choose from")
    answer_schema: Annotated[dict[str, JsonValue], AfterValidator(_held_to)] | None = Field(
        default=None, alias="schema", description="ask: a JSON Schema that the answer is JSON of"
    )
    examples: tuple[Shown, ...] = Field(default=(), max_length=16, description="ask: shown before the question")
    instruction: Text | None = Field(default=None, description="draft: what to write")
    candidates: Words = Field(default=(), max_length=200, description="identify: languages, ISO 639-1")
    text: Text | None = Field(default=None, description="identify, translate: a text that is on no picture")
    source: str | None = Field(default=None, pattern="^[a-z]{2}$", description="translate: from, ISO 639-1")
    target: str | None = Field(default=None, pattern="^[a-z]{2}$", description="translate: into, ISO 639-1")
    min_score: Score | None = Field(default=None, description="detect, ground: leave out what is less sure")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        missing = [name for name in NEEDS.get(self.capability, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"{self.capability} needs {' and '.join(missing)}")
        if self.capability is Offered.SEGMENT and not (self.boxes or self.points or self.phrase):
            raise ValueError("segment needs boxes, points or a phrase")
        if self.options and self.answer_schema is not None:
            raise ValueError("ask takes options or a schema, not both")
        given = self.model_fields_set - {"capability", "model"}
        foreign = sorted(self._name(field) for field in given - set(TAKES.get(self.capability, ())))
        if foreign:
            raise ValueError(f"{self.capability} takes no {' nor '.join(foreign)}")
        return self

    @classmethod
    def _name(cls, field: str) -> str:
        return cls.model_fields[field].alias or field


class VisionParameters(Parameters):
    """A single step, spelled out at the top, or `steps`; by default `detect`.

    The first step looks at every picture of the job (`identify` and `translate`: at its own `text`). Each later one
    looks at what the step before found: at the crop of each box, or at each text.
    """

    # That one is needed is told below: pydantic would tell it of a list, too, whose only step is not right.
    steps: tuple[Step, ...] = Field(
        default=(Step(capability=Offered.DETECT),), max_length=MOST_STEPS, json_schema_extra={"minItems": 1}
    )

    @model_validator(mode="before")
    @classmethod
    def _single(cls, told: Any) -> Any:  # noqa: ANN401
        if isinstance(told, dict) and "capability" in told:
            if "steps" in told:
                raise ValueError("give either `steps` or a single `capability` with its fields, not both")
            return {"steps": [told]}
        return told

    @model_validator(mode="after")
    def _chained(self) -> Self:
        if not self.steps:
            raise ValueError("steps has one at least")
        for number, step in enumerate(self.steps):
            if step.capability in ON_TEXT and (step.text is None) == (number == 0):
                whose = "the first step needs a `text` of its own" if number == 0 else "only the first takes a `text`"
                raise ValueError(f"step {number} ({step.capability}): {whose}; a later one takes what was found before")
            before = self.steps[number - 1].capability
            if number and step.capability in ON_TEXT and before not in GIVES_TEXT:
                raise ValueError(f"step {number} ({step.capability}) needs a text, and {before} before it gives none")
            if number and step.capability not in ON_TEXT and before in ON_TEXT and self.steps[0].capability in ON_TEXT:
                raise ValueError(
                    f"step {number} ({step.capability}) looks at pictures, and the chain began with a text"
                )
        return self
