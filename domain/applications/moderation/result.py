"""What was decided on some content, and everything that led to it."""

from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field

from domain.applications.application import Finding, Result
from domain.applications.moderation.evidence import Failure, Hashed, Reading, SeenCode, SeenText
from domain.applications.moderation.grounds import Ground
from domain.applications.moderation.policy import Action, Thresholds
from domain.geometry import Box, Score, Value
from domain.reviews import Name, ReviewNeed

MOST_SUMMARY = 400


class Decision(StrEnum):
    """What is done with the content."""

    ALLOW = "allow"
    """it is published"""
    FLAG = "flag"
    """it is published, and marked"""
    REVIEW = "review"
    """it is held back until a person has decided"""
    BLOCK = "block"
    """it is not published"""
    ESCALATE = "escalate"
    """it is held back until somebody has decided who is entitled to"""


class Band(StrEnum):
    """On which side of a label's thresholds it lies."""

    BELOW = "below"
    GREY = "grey"
    """left to a person"""
    APPLIES = "applies"
    UNKNOWN = "unknown"
    """no signal of it gave a reading"""


class Reason(Value):
    """Why the decision is not ALLOW."""

    rule: Literal["label", "grey-band", "failure", "abstained", "restricted-bank"]
    label: str | None = None
    outcome: Decision
    """what this reason alone would lead to"""
    at_stake: Action
    """what the doubt is about, where it is one"""
    signal: int | None = None
    """its place among the label's signals"""
    image: int | None = None
    """which picture; None is the post's own text, or all of it"""
    score: Score | None = None
    threshold: Score | None = None
    """the one that was reached"""
    sentence: str


class Judged(Value):
    """A label as it counted here, and how it came out."""

    id: str
    title: str
    action: Action
    thresholds: Thresholds
    score: Score | None
    """the greatest of its signals over all pictures; None where none gave a reading"""
    band: Band
    ground: Ground | None = None


class Routing(Value):
    """Where it is led to, and by which of the policy's rules (None: by no rule of its own)."""

    rule: Name | None
    queue: Name
    asks: bool
    """whether a person is to look"""
    four_eyes: bool = False
    priority: int = Field(default=0, ge=0, le=9)


class UsedPolicy(Value):
    """Which policy decided; `digest` is the SHA-256 of its content."""

    name: str
    version: int | None
    """None of one that came with the job; 0 of one that ships with the application"""
    digest: str


class Content(Value):
    """What the content is in the sender's own system."""

    id: str | None = None
    posted: date | None = None
    types: tuple[str, ...] = ()
    """as the DSA's database names them: `CONTENT_TYPE_IMAGE`, …"""


class ModerationResult(Result):
    """The decision on some content, with everything that led to it."""

    decision: Decision
    label: str | None
    """the label that it rests on: that of the weightiest reason"""
    reasons: tuple[Reason, ...]
    """the most severe first; empty where the content is allowed"""
    labels: tuple[Judged, ...]
    readings: tuple[Reading, ...]
    failures: tuple[Failure, ...]
    texts: tuple[SeenText, ...]
    codes: tuple[SeenCode, ...]
    hashed: tuple[Hashed, ...]
    routing: Routing | None
    restricted: bool
    """a picture matched a restricted bank: for few eyes"""
    policy: UsedPolicy
    surface: str
    content: Content
    sizes: tuple[tuple[int, int], ...]
    """width and height of each picture, in pixels"""


def findings(result: ModerationResult) -> Iterator[Finding]:
    """Yield a finding for each reading of a picture that is not below its label's thresholds.

    Its box is that of each match which has one, else the whole picture. Words are not kept with it, they may be
    somebody's address. None of a restricted result: findings are kept where more people look.
    """
    if result.restricted:
        return
    limits = {label.id: label.thresholds.review for label in result.labels}
    for reading in result.readings:
        if reading.image is not None and reading.score >= limits[reading.label]:
            counted = [match for match in reading.matches if match.box and match.score >= limits[reading.label]]
            for match in counted:
                assert match.box is not None
                yield Finding(kind=reading.label, score=match.score, image=reading.image, box=match.box)
            if not counted:
                width, height = result.sizes[reading.image]
                whole = Box(x0=0, y0=0, x1=width, y1=height)
                yield Finding(kind=reading.label, score=reading.score, image=reading.image, box=whole)


def headline(result: ModerationResult) -> str:
    """Say the decision and its cause in a few words: `block: no-entry (1 in doubt)`. Of a restricted one, no cause."""
    if result.restricted:
        return f"{result.decision.value} (restricted)"
    decisive = [reason for reason in result.reasons if reason.outcome is result.decision]
    causes = list(dict.fromkeys(reason.label or reason.rule for reason in decisive))
    told = f": {', '.join(causes[:3])}{', …' if len(causes) > 3 else ''}" if causes else ""
    failed = f" ({len(result.failures)} without an answer)" if result.failures else ""
    return f"{result.decision.value}{told}{failed}"


def review(result: ModerationResult) -> ReviewNeed | None:
    """Return what is asked of people; None of what is allowed, flagged or blocked and needs nobody."""
    if result.routing is None or not result.routing.asks:
        return None
    led = {"queue": result.routing.queue, "four_eyes": result.routing.four_eyes, "priority": result.routing.priority}
    if result.restricted:
        return ReviewNeed(**led, reasons=("restricted-bank",), summary="matched a restricted bank", restricted=True)
    codes = (f"{reason.rule}.{reason.label}" if reason.label else reason.rule for reason in result.reasons)
    summary = "; ".join(reason.sentence for reason in result.reasons)
    short = summary if len(summary) <= MOST_SUMMARY else f"{summary[: MOST_SUMMARY - 1]}…"
    return ReviewNeed(**led, reasons=tuple(dict.fromkeys(codes)), summary=short)
