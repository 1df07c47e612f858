"""Which findings an English text tells, as there or as not there, on which side, and how surely.

The idea is that of NegEx (Chapman et al. 2001): a denial holds for the names that are listed after it. Here a sentence
must be understood whole: one that has a word nobody taught, or that can be taken in two ways, is given back unread,
with the reason. It is then nobody's claim, neither for nor against a finding.
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Literal

from domain.applications.reporting.vocabulary import vocabulary
from domain.applications.reporting.words import Token, tokens
from domain.geometry import Value

Side = Literal["left", "right"]
"""of the patient"""

MOST_SENTENCES = 400
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
HEDGES = ("probable", "possible")


class Certainty(StrEnum):
    """How surely something is said."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    POSSIBLE = "possible"


class Claim(Value):
    """What a sentence says of one finding."""

    finding: str
    present: bool
    side: Side | None = None
    certainty: Certainty = Certainty.CERTAIN
    size_mm: float | None = None
    """as it is told, not measured"""
    details: tuple[str, ...] = ()
    """what else is told of it: `small`, `upper`, …"""


class Sentence(Value):
    """A sentence and what it says; `problem` is why it was not read."""

    text: str
    claims: tuple[Claim, ...] = ()
    problem: str | None = None


class _Unread(Exception):
    """The sentence can be taken in two ways, or not at all; why is in the text."""


def sentences(text: str, *, ended: bool) -> tuple[Sentence, ...]:
    """Read a text. With `ended`, its last sentence must have its end, as the text of a model that may be cut off."""
    parts = [part.strip() for part in SENTENCE.split(text) if part.strip()][:MOST_SENTENCES]
    found = [_sentence(part) for part in parts]
    if ended and parts and parts[-1][-1] not in ".!?":
        found[-1] = Sentence(text=parts[-1], problem="it has no end")
    return tuple(found)


def _sentence(text: str) -> Sentence:
    if text.endswith("?"):
        return Sentence(text=text, problem="it is a question")
    try:
        claims = tuple(dict.fromkeys(claim for part in _clauses().split(text.rstrip(".! ")) for claim in _claims(part)))
    except _Unread as problem:
        return Sentence(text=text, problem=str(problem))
    if not claims:
        return Sentence(text=text, problem="it names no finding")
    if len({(claim.finding, claim.side) for claim in claims}) < len(claims):
        return Sentence(text=text, problem="it says two things of one finding")
    return Sentence(text=text, claims=claims)


@cache
def _clauses() -> re.Pattern[str]:
    return re.compile(rf"[;:]|\b(?:{'|'.join(vocabulary().words.turning)})\b", re.IGNORECASE)


def _claims(clause: str) -> Iterator[Claim]:
    told = tokens(clause)
    if told is None:
        raise _Unread("it has words that are not known")
    places = [at for at, token in enumerate(told) if token.kind in {"finding", "denial"}]
    absent = _absent(told, places)
    _sides_clear(told, places)
    if not places and any(token.kind not in {"plain", "size", "ratio"} for token in told):
        raise _Unread("a part of it names no finding")
    for number, at in enumerate(places):
        before = told[places[number - 1] + 1 if number else 0 : at]
        after = told[at + 1 : places[number + 1] if number + 1 < len(places) else len(told)]
        near = [*before, *after] if len(places) == 1 else [*_last_part(before), *_first_part(after)]
        yield from _claim(told, at, near, at in absent)


def _claim(told: Sequence[Token], at: int, around: Sequence[Token], absent: bool) -> Iterator[Claim]:
    name = told[at].finding
    size = next((token.size_mm for token in around if token.kind == "size"), None)
    details = tuple(token.text for token in around if token.kind == "details")
    for side in _sides(around) if vocabulary().by_name[name].paired else (None,):
        yield Claim(
            finding=name, present=not absent, side=side, certainty=_certainty(told), size_mm=size, details=details
        )


def _absent(told: Sequence[Token], places: Sequence[int]) -> set[int]:
    """Return which names are denied. Raises _Unread where it is not clear how far a denial reaches."""
    before = [at for at, token in enumerate(told) if token.kind == "denying"]
    after = [at for at, token in enumerate(told) if token.kind == "denied"]
    sayings = [at for at in places if told[at].kind == "denial"]
    if sayings and (before or after or len(sayings) < len(places) or _certainty(told) is not Certainty.CERTAIN):
        raise _Unread("it mixes what is normal with what is not")
    if len(before) + len(after) > 1:
        raise _Unread("it denies more than once")
    if before:
        reached = [at for at in places if at > before[0]]
    elif after:
        reached = [at for at in places if at < after[0]]
    else:
        return set(sayings)
    if not reached:
        raise _Unread("it denies what is not named")
    _listed(told, reached)
    return set(reached)


def _listed(told: Sequence[Token], places: Sequence[int]) -> None:
    """Check that names which are denied together are a plain list: `no A, B or C`."""
    gaps = [told[first + 1 : second] for first, second in pairwise(places)]
    pure = all(token.kind in {"comma", "listing"} for gap in gaps for token in gap)
    if not pure or (gaps and not any(token.kind == "listing" for token in gaps[-1])):
        raise _Unread("it is not clear how far its denial reaches")


def _sides_clear(told: Sequence[Token], places: Sequence[int]) -> None:
    """Check that every side belongs to one name: `nodule and left effusion`, not `nodule with left effusion`."""
    if len(places) < 2:
        return
    gaps = [told[first + 1 : second] for first, second in pairwise(places)]
    joined = [{token.kind for token in gap} & {"comma", "listing"} for gap in gaps]
    clear = [token for gap, joins in zip(gaps, joined, strict=True) if joins for token in _outer(gap)]
    clear += [*_last_part(told[: places[0]]), *_first_part(told[places[-1] + 1 :])]
    if sum(map(_is_side, clear)) < sum(map(_is_side, told)):
        raise _Unread("it is not clear which finding its side belongs to")


def _sides(around: Sequence[Token]) -> tuple[Side | None, ...]:
    """Return the sides that are told of a name, by what belongs to it."""
    found = {token.kind for token in around} & {"left", "right", "both"}
    if len(found) > 1:
        raise _Unread("it tells two sides of one finding")
    if "both" in found:
        return ("left", "right")
    return ("left",) if "left" in found else ("right",) if "right" in found else (None,)


def _outer(gap: Sequence[Token]) -> list[Token]:
    """Return what of the words between two names belongs to either."""
    return [*_first_part(gap), *_last_part(gap)]


def _is_side(token: Token) -> bool:
    return token.kind in {"left", "right", "both"}


def _last_part(before: Sequence[Token]) -> list[Token]:
    """Return what belongs to the name after it: what follows the last `and` or comma."""
    part: list[Token] = []
    for token in before:
        part = [] if token.kind in {"comma", "listing"} else [*part, token]
    return part


def _first_part(after: Sequence[Token]) -> list[Token]:
    """Return what belongs to the name before it: what stands before the first `and` or comma."""
    part: list[Token] = []
    for token in after:
        if token.kind in {"comma", "listing"}:
            break
        part.append(token)
    return part


def _certainty(told: Sequence[Token]) -> Certainty:
    """Return the least certainty that is told: a hedge holds for all that its clause names."""
    kinds = {token.kind for token in told}
    found = [Certainty(kind) for kind in HEDGES if kind in kinds]
    return found[-1] if found else Certainty.CERTAIN
