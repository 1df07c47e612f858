"""Where a result differs from what a sample promises."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field, ValidationError

from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import Defect, InspectionResult
from domain.geometry import Box, Value, iou


class ExpectedBox(Value):
    """A defect that must be found: its class and `xyxy` box in pixels."""

    label: str
    box: tuple[float, float, float, float]
    image: int = 0
    iou: float = Field(default=0.5, gt=0, le=1)


class Expectation(Value):
    """What a sample may promise; what it leaves out is not compared. Doubtful defects do not count."""

    verdict: Verdict | None = None
    classes: tuple[str, ...] | None = None
    """exactly the classes that are found"""
    counts: dict[str, int] | None = None
    """how many of each class named here"""
    boxes: tuple[ExpectedBox, ...] = ()
    """each must be found by a defect of its own"""
    rules: tuple[str, ...] | None = None
    """exactly the rules and gates that gave a reason"""
    ignored: int | None = None
    """how many detections were left out"""


def mismatches(result: InspectionResult, expect: dict[str, Any]) -> list[str]:
    """Say where the result differs from the expectation, one sentence each; empty where it holds."""
    try:
        expected = Expectation.model_validate(expect)
    except ValidationError as error:
        return [
            f"the expectation itself is malformed: {problem['loc']}: {problem['msg']}" for problem in error.errors()
        ]
    return [*_in_verdict(result, expected), *_in_counts(result, expected), *_in_boxes(result, expected)]


def _in_verdict(result: InspectionResult, expected: Expectation) -> Iterator[str]:
    if expected.verdict is not None and result.verdict is not expected.verdict:
        why = "; ".join(reason.sentence for reason in result.reasons) or "no reason was found against the part"
        yield f"the verdict is {result.verdict}, expected {expected.verdict} ({why})"
    rules = {reason.rule for reason in result.reasons}
    if expected.rules is not None and rules != set(expected.rules):
        yield f"the rules that gave a reason are {sorted(rules)}, expected {sorted(expected.rules)}"


def _in_counts(result: InspectionResult, expected: Expectation) -> Iterator[str]:
    classes = {label for label, count in result.counts.items() if count}
    if expected.classes is not None and classes != set(expected.classes):
        yield f"the classes found are {sorted(classes)}, expected {sorted(expected.classes)}"
    for label, count in (expected.counts or {}).items():
        found = result.counts.get(label, 0)
        if found != count:
            yield f"{found} of class {label!r} found, expected {count}"
    if expected.ignored is not None and result.ignored.total != expected.ignored:
        yield f"{result.ignored.total} detections were left out, expected {expected.ignored}"


def _in_boxes(result: InspectionResult, expected: Expectation) -> Iterator[str]:
    certain = [defect for defect in result.defects if defect.certain]
    choices = [[n for n, defect in enumerate(certain) if _fits(defect, wanted)] for wanted in expected.boxes]
    for number in _unmatched(choices):
        wanted = expected.boxes[number]
        yield (
            f"no {wanted.label} of its own found at {wanted.box} in picture {wanted.image + 1} "
            f"with an IoU of at least {wanted.iou:g}"
        )


def _fits(defect: Defect, wanted: ExpectedBox) -> bool:
    x0, y0, x1, y1 = wanted.box
    same = defect.label == wanted.label and defect.image == wanted.image
    return same and iou(defect.box, Box(x0=x0, y0=y0, x1=x1, y1=y1)) >= wanted.iou


def _unmatched(choices: Sequence[Sequence[int]]) -> list[int]:
    """Return which rows stay without a choice of their own in a greatest matching (augmenting paths, Kuhn 1955)."""
    owner: dict[int, int] = {}

    def settle(row: int, tried: set[int]) -> bool:
        for choice in choices[row]:
            if choice not in tried:
                tried.add(choice)
                if choice not in owner or settle(owner[choice], tried):
                    owner[choice] = row
                    return True
        return False

    return [row for row in range(len(choices)) if not settle(row, set())]
