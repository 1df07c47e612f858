"""Evidence and a policy -> the decision, with its reasons and the queue of whoever is to look. Pure.

Every label is weighed and the most severe outcome wins:

escalate > block > review > flag > review of what would be flagged at most > allow

A doubt stands just below what it is a doubt about, so that a higher score never makes the decision milder: what is
nearly to be flagged is reviewed, what surely is to be flagged is flagged, and what may be to be blocked is reviewed
whatever else is flagged. A failure may hide anything, so it weighs as much as a doubt about a block. ALLOW is what is
left when there is no reason, and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.applications.moderation.evidence import Evidence, Failure, Reading, places
from domain.applications.moderation.policy import (
    ESCALATED,
    FAILURES,
    GREY_BAND,
    RESTRICTED,
    Action,
    Label,
    Route,
)
from domain.applications.moderation.result import Band, Decision, Reason, Routing
from domain.applications.moderation.sentences import banded_sentence, failed_sentence, restricted_sentence

OUTCOMES = {Action.FLAG: Decision.FLAG, Action.BLOCK: Decision.BLOCK, Action.ESCALATE: Decision.ESCALATE}


@dataclass(frozen=True)
class Decided:
    """What is done with some content, why, and who is to look at it."""

    decision: Decision
    reasons: tuple[Reason, ...]
    routing: Routing | None
    restricted: bool


def severity(reason: Reason) -> int:
    """Return how much a reason weighs: 1 for a doubt about a flag, 5 for what is escalated."""
    if reason.outcome is Decision.REVIEW:
        return 1 if reason.at_stake is Action.FLAG else 3
    return {Decision.FLAG: 2, Decision.BLOCK: 4, Decision.ESCALATE: 5}[reason.outcome]


def decide(labels: Mapping[str, Label], routes: Sequence[Route], surface: str, evidence: Evidence) -> Decided:
    """Weigh everything that was seen of content on a surface."""
    found = [*_restricted(evidence), *_banded(labels, evidence), *_failed(labels, evidence)]
    reasons = tuple(sorted(found, key=lambda reason: (-severity(reason), -(reason.score or 0.0))))
    decision = reasons[0].outcome if reasons else Decision.ALLOW
    restricted = any(match.restricted for one in evidence.hashed for match in one.matches)
    routing = _routing(labels, routes, surface, evidence, decision, reasons)
    if restricted:
        routing = Routing(rule=None, queue=RESTRICTED, four_eyes=_four_eyes(labels, reasons), priority=9, asks=True)
    return Decided(decision, reasons, routing, restricted)


def band(label: Label, score: float) -> Band:
    """Say on which side of a label's thresholds a score lies."""
    if score >= label.thresholds.act:
        return Band.APPLIES
    return Band.GREY if score >= label.thresholds.review else Band.BELOW


def _restricted(evidence: Evidence) -> Iterator[Reason]:
    for one in evidence.hashed:
        banks = dict.fromkeys(match.bank for match in one.matches if match.restricted)
        for bank in banks:
            yield Reason(
                rule="restricted-bank",
                outcome=Decision.ESCALATE,
                at_stake=Action.ESCALATE,
                image=one.image,
                score=1.0,
                sentence=restricted_sentence(one.image, bank),
            )


def _banded(labels: Mapping[str, Label], evidence: Evidence) -> Iterator[Reason]:
    for reading in evidence.readings:
        label = labels[reading.label]
        lies = band(label, reading.score)
        if lies is not Band.BELOW:
            applies = lies is Band.APPLIES
            yield Reason(
                rule="label" if applies else "grey-band",
                label=reading.label,
                outcome=OUTCOMES[label.action] if applies else Decision.REVIEW,
                at_stake=label.action,
                signal=reading.signal,
                image=reading.image,
                score=reading.score,
                threshold=label.thresholds.act if applies else label.thresholds.review,
                sentence=banded_sentence(label, reading, applies),
            )


def _failed(labels: Mapping[str, Label], evidence: Evidence) -> Iterator[Reason]:
    for failure in (*evidence.failures, *_silent(labels, evidence)):
        yield Reason(
            rule="abstained" if failure.abstained else "failure",
            label=failure.label,
            outcome=Decision.REVIEW,
            at_stake=Action.BLOCK,
            signal=failure.signal,
            image=failure.image,
            sentence=failed_sentence(labels[failure.label] if failure.label else None, failure),
        )


def _silent(labels: Mapping[str, Label], evidence: Evidence) -> Iterator[Failure]:
    """Yield a failure for each signal that gave neither a reading nor a failure: silence is no answer."""
    told: Sequence[Reading | Failure] = (*evidence.readings, *evidence.failures)
    heard = {(one.label, one.signal, one.image) for one in told}
    for id_, label in labels.items():
        for number, rule in enumerate(label.signals):
            for place in places(rule, evidence.images):
                if (id_, number, place) not in heard:
                    about = {"label": id_, "signal": number, "image": place}
                    yield Failure(**about, kind=rule.kind, code="silent", abstained=True, sentence="it gave no answer")


def _routing(
    labels: Mapping[str, Label],
    routes: Sequence[Route],
    surface: str,
    evidence: Evidence,
    decision: Decision,
    reasons: Sequence[Reason],
) -> Routing | None:
    """Return the queue that the first matching rule leads to, or one of our own where somebody must look."""
    if decision is Decision.ALLOW:
        return None
    held = decision in (Decision.REVIEW, Decision.ESCALATE)
    four_eyes = _four_eyes(labels, reasons)
    banks = {match.bank for one in evidence.hashed for match in one.matches}
    for route in routes:
        if _matches(route, surface, banks, decision, reasons):
            told = {"four_eyes": four_eyes or route.four_eyes, "priority": route.priority}
            return Routing(rule=route.name, queue=route.queue, asks=held or route.asks, **told)
    if not held:
        return None
    return Routing(rule=None, queue=_queue(decision, reasons), four_eyes=four_eyes, priority=0, asks=True)


def _matches(route: Route, surface: str, banks: set[str], decision: Decision, reasons: Sequence[Reason]) -> bool:
    concerned = {reason.label for reason in reasons}
    return (
        (route.labels is None or not concerned.isdisjoint(route.labels))
        and (route.decisions is None or decision.value in route.decisions)
        and (route.surfaces is None or surface in route.surfaces)
        and (route.banks is None or not banks.isdisjoint(route.banks))
    )


def _queue(decision: Decision, reasons: Sequence[Reason]) -> str:
    if decision is Decision.ESCALATE:
        return ESCALATED
    return GREY_BAND if any(reason.rule == "grey-band" for reason in reasons) else FAILURES


def _four_eyes(labels: Mapping[str, Label], reasons: Sequence[Reason]) -> bool:
    return any(labels[reason.label].four_eyes for reason in reasons if reason.label)
