"""What was seen of some content: how each signal of each label came out, or why it did not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from domain.applications.application import BankMatch
from domain.applications.moderation.signal_rules import SignalRule, TextRule
from domain.geometry import Box, Polygon, Score, Value
from domain.vision import Hashes, Label

SignalKind = Literal["prompts", "question", "detect", "ground", "text", "codes", "banks"]


class Match(Value):
    """One thing that counts for a label."""

    what: Literal["link", "email", "phone", "handle", "phrase", "code", "bank", "object"]
    quote: str
    """as it stood: words, a code's text, a class; the bank's name"""
    reads: str = ""
    """what it is without its disguise: the address, the banned phrase, the entry's hash"""
    disguised: bool = False
    """a phrase that stood there otherwise than it is written"""
    score: Score
    box: Box | None = None
    """where in the picture; None of what has no place in one"""


class Reading(Value):
    """How one signal of a label came out on one picture, or on the post's own text."""

    label: str
    signal: int = Field(ge=0)
    """its place among the label's signals"""
    kind: SignalKind
    image: int | None = Field(default=None, ge=0)
    """which of the job's pictures; None is the post's own text"""
    score: Score
    matches: tuple[Match, ...] = ()
    scores: tuple[Label, ...] = ()
    """of each prompt or option, as the model gave them"""


class Failure(Value):
    """A signal that gave no answer, or none that can be relied on."""

    label: str | None = None
    """None: whatever label it would have been for"""
    signal: int | None = Field(default=None, ge=0)
    kind: SignalKind
    image: int | None = Field(default=None, ge=0)
    code: str
    """a stable one: an error's, or `no_options`, `unsure`, `unknown_classes`, `low_quality`, `no_banks`, `silent`"""
    abstained: bool
    """it did run and does not say; otherwise it ended in an error"""
    sentence: str


class SeenText(Value):
    """A line of text that was read in a picture."""

    image: int = Field(ge=0)
    text: str
    confidence: Score
    quad: Polygon


class SeenCode(Value):
    """A bar code or QR code that was read in a picture."""

    image: int = Field(ge=0)
    format: str
    text: str
    quad: Polygon


class Hashed(Value):
    """A picture's hashes and the entries of banks that they come near."""

    image: int = Field(ge=0)
    hashes: Hashes
    matches: tuple[BankMatch, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """All that was seen of some content of so many pictures."""

    images: int
    readings: tuple[Reading, ...] = ()
    failures: tuple[Failure, ...] = ()
    texts: tuple[SeenText, ...] = ()
    codes: tuple[SeenCode, ...] = ()
    hashed: tuple[Hashed, ...] = ()


def places(rule: SignalRule, images: int) -> Sequence[int | None]:
    """Return on what a signal must give an answer: on each picture, by its place, and None for the post's own text."""
    if not isinstance(rule, TextRule):
        return range(images)
    seen: list[int | None] = list(range(images)) if "picture" in rule.where else []
    return [*seen, None] if "post" in rule.where else seen
