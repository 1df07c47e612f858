"""A draft and everything that led to it. It is a machine's, and unverified, whatever becomes of it later."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from domain.applications.application import Finding, Result
from domain.applications.reporting.reading import Certainty, Side
from domain.applications.reporting.vocabulary import Region
from domain.geometry import Box, Score, Value
from domain.reports import UNVERIFIED
from domain.reviews import Name
from domain.studies import SpacingSource, StudyFacts


class Order(Value):
    """The order as it was told; empty where it was not."""

    modality: str
    body_part: str
    laterality: Literal["none", "left", "right", "both"] | None
    contrast: bool | None
    view: str
    age_years: float | None
    indication: str
    has_prior: bool


class Abstention(Value):
    """Why there is no draft."""

    code: Name
    """`modality`, `body-part`, `view`, `age`, `contrast`, `pictures`, each with `-unknown` where it is not told"""
    image: int | None = None
    sentence: str


class Measurement(Value):
    """A length in millimetres, taken from the finding's box."""

    quantity: Literal["diameter", "width"]
    """its longer side, or its extent from left to right"""
    length_mm: float = Field(ge=0)
    source: SpacingSource
    """a length at the detector is longer than in the patient"""


class Place(Value):
    """Where a finding was found."""

    box: Box
    score: Score
    side: Side | None
    """where the box lies, or as answered; None where that cannot be told, and of what has no side"""


class Evidence(Value):
    """What was asked about a finding in one picture, and what came of it."""

    image: int = Field(ge=0)
    places: tuple[Place, ...]
    """the likeliest first"""
    yes: Score | None
    """the share of the answer yes to the question whether it is there; None where the model gives no shares"""


class Told(Value):
    """A finding of the draft for which there is evidence, as there or as not there."""

    id: str
    finding: str
    region: Region
    present: bool
    side: Side | None
    """told only where the evidence tells it"""
    certainty: Certainty
    image: int = Field(ge=0)
    box: Box | None
    """of what is there; of what is not there, there is none"""
    score: Score
    """of the box, or the share of the answer no"""
    measurement: Measurement | None = None
    said: str
    """the model's own sentence"""
    left_out: tuple[str, ...] = ()
    """what that sentence says besides, without evidence: a size, `small`, `upper zone`"""


class ReportSentence(Value):
    """A sentence of the report, and the ids of the findings that it rests on."""

    id: str
    text: str
    region: Region | None = None
    """None in the impression"""
    findings: tuple[str, ...] = Field(min_length=1)


class Removed(Value):
    """Something that the model wrote and that is not in the report."""

    image: int
    text: str
    finding: str | None = None
    reason: Literal["unread", "no-evidence", "contradicted", "not-intended", "repeated"]
    sentence: str


class Assessed(Value):
    """What became of a finding of the intended use. Silence is `not-assessed`, never `absent`."""

    finding: str
    state: Literal["present", "absent", "not-assessed"]


class Change(StrEnum):
    """How a finding compares with the prior report."""

    NEW = "new"
    """the prior report says that it was not there"""
    NOT_IN_PRIOR = "not-in-prior"
    """the prior report is silent on it"""
    UNCHANGED = "unchanged"
    """it was there, and is; sizes are told, not judged"""
    OTHER_SIDE = "other-side"
    """it was there, on the other side"""
    NO_LONGER_SEEN = "no-longer-seen"
    """it was there, and there is evidence that it is not"""
    NOT_ASSESSED = "not-assessed"
    """it was there, and nothing is known of it now"""


class Compared(Value):
    """A finding beside the prior report; `said` is the prior's sentence, where it has one."""

    finding: str
    side: Side | None
    change: Change
    findings: tuple[str, ...]
    """the ids of the findings it rests on"""
    prior_mm: float | None = None
    now_mm: float | None = None
    said: str | None = None
    sentence: str


class Discrepancy(Value):
    """Something that does not agree: the order, what the files say, the draft, and what is seen."""

    id: str
    code: Name
    """what does not agree: `modality`, `body-part`, `laterality`, `contrast`, `view`, `age`, `side`, `prior-side`,
    `contradiction`, `not-in-draft`"""
    sentence: str
    blocking: bool
    """it must be resolved by a person before the report can be signed"""


class UsedIntendedUse(Value):
    """Which intended use it was drafted for; `digest` is the SHA-256 of its content."""

    name: str
    title: str
    version: int
    digest: str


class ReportingResult(Result):
    """A draft, or the reasons why there is none."""

    banner: Literal["AI draft, unverified"] = UNVERIFIED
    """nothing that an application answers is anything else"""
    abstained: tuple[Abstention, ...] = ()
    findings: tuple[Told, ...] = ()
    sentences: tuple[ReportSentence, ...] = ()
    """by region"""
    impression: tuple[ReportSentence, ...] = ()
    assessed: tuple[Assessed, ...] = ()
    comparison: tuple[Compared, ...] = ()
    prior_unread: tuple[str, ...] = ()
    """sentences of the prior report that were not read, so nothing is concluded from them"""
    discrepancies: tuple[Discrepancy, ...] = ()
    removed: tuple[Removed, ...] = ()
    removed_count: int = Field(default=0, ge=0)
    evidence: dict[str, tuple[Evidence, ...]] = Field(default_factory=dict)
    """by finding, for each picture"""
    drafts: tuple[str, ...] = ()
    """what the model wrote, for each picture"""
    order: Order
    facts: tuple[StudyFacts | None, ...] = ()
    intended_use: UsedIntendedUse
    sizes: tuple[tuple[int, int], ...] = ()
    """width and height of each picture, in pixels"""

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.removed_count != len(self.removed):
            raise ValueError(f"removed_count is {self.removed_count}, and {len(self.removed)} are removed")
        if self.abstained and (self.findings or self.sentences or self.impression):
            raise ValueError("there is no draft where the application abstained")
        return self

    @property
    def blocking(self) -> tuple[str, ...]:
        """The ids of what must be resolved before signing: discrepancies, and each reason why there is no draft."""
        codes = dict.fromkeys(f"abstained-{reason.code}" for reason in self.abstained)
        return (*codes, *(one.id for one in self.discrepancies if one.blocking))

    @property
    def present(self) -> tuple[Told, ...]:
        """The findings that are there."""
        return tuple(one for one in self.findings if one.present)


def content(result: ReportingResult) -> dict[str, Any]:
    """Return a result as the content of a report's version, whose own state tells whether it is verified."""
    return result.model_dump(mode="json", exclude={"banner"})


def findings(result: ReportingResult) -> Iterator[Finding]:
    """Yield a finding for each that is there, at its place."""
    for one in result.present:
        if one.box is not None:
            length = one.measurement.length_mm if one.measurement else None
            kind, box = one.finding, one.box
            yield Finding(kind=kind, score=one.score, image=one.image, box=box, length_mm=length)


def headline(result: ReportingResult) -> str:
    """Say in a few words what is drafted: `AI draft, unverified: left pneumothorax (1 to be resolved)`."""
    if result.abstained:
        codes = dict.fromkeys(reason.code for reason in result.abstained)
        return f"{UNVERIFIED}: no draft ({', '.join(codes)})"
    names = [named(one) for one in result.present]
    told = _shortened(names) if names else "no finding with evidence"
    open_ = f" ({len(result.blocking)} to be resolved)" if result.blocking else ""
    return f"{UNVERIFIED}: {told}{open_}"


def named(one: Told) -> str:
    """Return a finding with its side: `left pneumothorax`."""
    return f"{one.side} {one.finding}" if one.side else one.finding


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
