"""Review by people: what waits for whom, what they may decide, and what a decision makes of it. No storage here.

A result never changes. What a person decides stands beside it; a correction is a further version of the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from domain.errors import Forbidden, InvalidRequest, TransitionRefused
from domain.geometry import Value

CLAIM_S = 900.0
"""How long an item is held by who claimed it, if no other time is asked for."""
MOST_CLAIM_S = 8 * 3600.0

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""A queue, a reason: small letters, digits, `.`, `_` and `-`."""


class ReviewNeed(Value):
    """What an application asks of people about one of its results."""

    queue: Name
    """where it waits, within the application: `grey-band`, `restricted`"""
    reasons: tuple[Name, ...] = Field(min_length=1)
    """why it waits; stable codes"""
    summary: str = Field(default="", max_length=400)
    """the same in a sentence, for the list"""
    priority: int = Field(default=0, ge=0, le=9)
    """the higher, the sooner it is handed out"""
    four_eyes: bool = False
    """two people must decide alike"""
    restricted: bool = False
    """only keys with the scope `restricted` may see the item, the result and its pictures"""


class ReviewKind(StrEnum):
    """Why an item came to be."""

    REVIEW = "review"
    """the application asked for it"""
    APPEAL = "appeal"
    """somebody objects to what was decided"""


class ReviewState(StrEnum):
    """Where an item is in its life. Whether it is claimed is a matter of time, not a state."""

    OPEN = "open"
    """waits for a person"""
    SECOND = "second"
    """one of two people has decided; another one is to"""
    ESCALATED = "escalated"
    """handed up, or two people decided differently: whoever decides next, other than they, decides alone"""
    DECIDED = "decided"
    """decided; nothing more happens to it"""
    WITHDRAWN = "withdrawn"
    """its job was started anew"""


class Verb(StrEnum):
    """What a person may decide."""

    APPROVE = "approve"
    """the result stands"""
    CORRECT = "correct"
    """it is wrong, and this is right: a new version of the result"""
    REJECT = "reject"
    """it is not to be used"""
    ESCALATE = "escalate"
    """somebody else must decide"""
    UPHOLD = "uphold"
    """of an appeal: what was decided stands"""
    OVERTURN = "overturn"
    """of an appeal: it does not; this is right instead"""


VERBS = {
    ReviewKind.REVIEW: frozenset({Verb.APPROVE, Verb.CORRECT, Verb.REJECT, Verb.ESCALATE}),
    ReviewKind.APPEAL: frozenset({Verb.UPHOLD, Verb.OVERTURN, Verb.ESCALATE}),
}
"""What may be decided of which kind of item."""

CORRECTING = frozenset({Verb.CORRECT, Verb.OVERTURN})
"""Decisions that carry a correction."""


class Decision(Value):
    """What a person decided, as it is asked for."""

    verb: Verb
    reason: Name
    """a code, for statistics: `false-positive`, `wrong-label`, …"""
    comment: str = Field(default="", max_length=4000, pattern=r"^[^\x00]*$")
    correction: dict[str, Any] | None = None
    """fields of the result that are replaced, each by its whole new value"""


@dataclass(frozen=True)
class Step:
    """A decision that was taken on an item before."""

    reviewer: UUID
    verb: Verb
    correction: dict[str, Any] | None


@dataclass(frozen=True)
class Outcome:
    """What a decision makes of an item; `settles` says whether it is the item's last word."""

    state: ReviewState

    @property
    def settles(self) -> bool:
        """Whether the item is decided by it."""
        return self.state is ReviewState.DECIDED


def may_take(reviewer: UUID, steps: Sequence[Step], barred: Sequence[UUID] = ()) -> bool:
    """Say whether a reviewer may claim an item: nobody decides the same item twice, nor an appeal of their own."""
    return reviewer not in {*(step.reviewer for step in steps), *barred}


def check(kind: ReviewKind, decision: Decision) -> None:
    """Raise InvalidRequest where a decision does not go with the item, or lacks or has a correction too many."""
    allowed = VERBS[kind]
    if decision.verb not in allowed:
        told = ", ".join(sorted(allowed))
        raise InvalidRequest(f"{decision.verb!s} does not go with {_article(kind)}; possible are: {told}")
    if (decision.verb in CORRECTING) != (decision.correction is not None):
        wants = "needs" if decision.verb in CORRECTING else "takes no"
        raise InvalidRequest(f"the decision {decision.verb!s} {wants} `correction`")


def decide(state: ReviewState, four_eyes: bool, steps: Sequence[Step], reviewer: UUID, decision: Decision) -> Outcome:
    """Return what a decision makes of an item.

    Raises TransitionRefused where it is decided already, and Forbidden where the reviewer has had a say in it.
    """
    if state in {ReviewState.DECIDED, ReviewState.WITHDRAWN}:
        raise TransitionRefused(f"this item is {state.value}; nothing is left to decide of it", state=state.value)
    if not may_take(reviewer, steps):
        raise Forbidden("you have decided this item once; another person is to decide it now")
    if decision.verb is Verb.ESCALATE:
        return Outcome(ReviewState.ESCALATED)
    if state is ReviewState.ESCALATED:
        return Outcome(ReviewState.DECIDED)
    if not four_eyes:
        return Outcome(ReviewState.DECIDED)
    if state is ReviewState.OPEN:
        return Outcome(ReviewState.SECOND)
    first = steps[-1]
    alike = (first.verb, first.correction) == (decision.verb, decision.correction)
    return Outcome(ReviewState.DECIDED if alike else ReviewState.ESCALATED)


def _article(kind: ReviewKind) -> str:
    return f"an {kind!s}" if kind is ReviewKind.APPEAL else f"a {kind!s}"
