"""Where a result differs from what a sample promises."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from domain.applications.moderation.result import Band, Decision, ModerationResult
from domain.geometry import Value


class Expectation(Value):
    """What a sample may promise; what it leaves out is not compared."""

    decision: Decision | None = None
    label: str | None = None
    """the label that the decision rests on"""
    bands: dict[str, Band] | None = None
    """of each label named here"""
    queue: str | None = None
    """empty: nobody is asked to look"""
    reads: tuple[str, ...] = ()
    """each is what some match is without its disguise"""
    codes: tuple[str, ...] | None = None
    """what exactly the codes say"""
    failures: int | None = None


def mismatches(result: ModerationResult, expect: dict[str, Any]) -> list[str]:
    """Say where the result differs from the expectation, one sentence each; empty where it holds."""
    try:
        expected = Expectation.model_validate(expect)
    except ValidationError as error:
        return [
            f"the expectation itself is malformed: {problem['loc']}: {problem['msg']}" for problem in error.errors()
        ]
    return [*_in_decision(result, expected), *_in_bands(result, expected), *_in_evidence(result, expected)]


def _in_decision(result: ModerationResult, expected: Expectation) -> Iterator[str]:
    if expected.decision is not None and result.decision is not expected.decision:
        why = "; ".join(reason.sentence for reason in result.reasons) or "no reason was found"
        yield f"the decision is {result.decision.value}, expected {expected.decision.value} ({why})"
    if expected.label is not None and result.label != expected.label:
        yield f"it rests on the label {result.label!r}, expected {expected.label!r}"
    queue = result.routing.queue if result.routing and result.routing.asks else ""
    if expected.queue is not None and queue != expected.queue:
        yield f"the queue is {queue!r}, expected {expected.queue!r}"


def _in_bands(result: ModerationResult, expected: Expectation) -> Iterator[str]:
    labels = {label.id: label for label in result.labels}
    for id_, band in (expected.bands or {}).items():
        if id_ not in labels:
            yield f"there is no label {id_!r}; there are: {', '.join(labels)}"
        elif labels[id_].band is not band:
            score = labels[id_].score
            told = "without a score" if score is None else f"with a score of {score:.3f}"
            yield f"the label {id_!r} is {labels[id_].band.value} {told}, expected {band.value}"


def _in_evidence(result: ModerationResult, expected: Expectation) -> Iterator[str]:
    found = {match.reads for reading in result.readings for match in reading.matches}
    for reads in expected.reads:
        if reads not in found:
            yield f"no match reads {reads!r}; there are: {sorted(found)}"
    codes = sorted(code.text for code in result.codes)
    if expected.codes is not None and codes != sorted(expected.codes):
        yield f"the codes say {codes}, expected {sorted(expected.codes)}"
    if expected.failures is not None and len(result.failures) != expected.failures:
        told = "; ".join(failure.sentence for failure in result.failures)
        yield f"{len(result.failures)} signals gave no answer, expected {expected.failures} ({told})"
