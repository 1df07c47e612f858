"""Where a draft differs from what a sample promises."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field, ValidationError

from domain.applications.reporting.result import ReportingResult, named
from domain.geometry import Box, Value, iou

LEAST_IOU = 0.3


class Expectation(Value):
    """What a sample may promise; what it leaves out is not compared."""

    abstained: tuple[str, ...] | None = None
    """exactly the codes; empty where there must be a draft"""
    present: tuple[str, ...] | None = None
    """exactly what is there, with its side: `left pneumothorax`"""
    absent: tuple[str, ...] = ()
    """findings that must be told not to be there; others may be"""
    places: dict[str, tuple[float, float, float, float]] = Field(default_factory=dict)
    """by name, with its side: the `xyxy` box, met with an IoU of 0.3 or more"""
    discrepancies: tuple[str, ...] | None = None
    """exactly the codes of those that block signing"""
    changes: dict[str, str] = Field(default_factory=dict)
    """by finding: how it compares with the prior report"""
    removed: int | None = None


def mismatches(result: ReportingResult, expect: dict[str, Any]) -> list[str]:
    """Say where the result differs from the expectation, one sentence each; empty where it holds."""
    try:
        expected = Expectation.model_validate(expect)
    except ValidationError as error:
        return [
            f"the expectation itself is malformed: {problem['loc']}: {problem['msg']}" for problem in error.errors()
        ]
    return [*_in_codes(result, expected), *_in_findings(result, expected), *_in_changes(result, expected)]


def _in_codes(result: ReportingResult, expected: Expectation) -> Iterator[str]:
    codes = {reason.code for reason in result.abstained}
    if expected.abstained is not None and codes != set(expected.abstained):
        yield f"the reasons for no draft are {sorted(codes)}, expected {sorted(expected.abstained)}"
    blocking = {one.code for one in result.discrepancies if one.blocking}
    if expected.discrepancies is not None and blocking != set(expected.discrepancies):
        yield f"the blocking discrepancies are {sorted(blocking)}, expected {sorted(expected.discrepancies)}"
    if expected.removed is not None and result.removed_count != expected.removed:
        yield f"{result.removed_count} statements were removed, expected {expected.removed}"


def _in_findings(result: ReportingResult, expected: Expectation) -> Iterator[str]:
    there = {named(one): one for one in result.present}
    if expected.present is not None and set(there) != set(expected.present):
        yield f"the report tells {sorted(there)}, expected {sorted(expected.present)}"
    absent = {one.finding for one in result.findings if not one.present}
    for name in expected.absent:
        if name not in absent:
            yield f"the report does not say that there is no {name}"
    for name, corners in expected.places.items():
        x0, y0, x1, y1 = corners
        found = there[name].box if name in there else None
        if found is None or iou(found, Box(x0=x0, y0=y0, x1=x1, y1=y1)) < LEAST_IOU:
            yield f"{name} is not told at {corners}"


def _in_changes(result: ReportingResult, expected: Expectation) -> Iterator[str]:
    changes = {one.finding: one.change.value for one in result.comparison}
    for name, change in expected.changes.items():
        if changes.get(name) != change:
            yield f"{name} compares with the prior report as {changes.get(name)!r}, expected {change!r}"
