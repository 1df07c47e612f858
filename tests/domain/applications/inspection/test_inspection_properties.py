"""What holds for any recipe and any defects."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.applications.inspection.decide import severity
from domain.applications.inspection.recipe import DETECTOR_CLASSES, Verdict
from domain.applications.inspection.result import InspectionResult
from domain.vision import Detection

Build = Callable[..., Detection]
Inspect = Callable[..., InspectionResult]
Made = tuple[str, float, tuple[int, int, int, int], bool]
"""A detection to be: class, score, box, whether it has a mask."""

labels = st.sampled_from(DETECTOR_CLASSES)
shapes = st.tuples(st.integers(0, 150), st.integers(0, 70), st.integers(1, 50), st.integers(1, 30)).map(
    lambda s: (s[0], s[1], s[0] + s[2], s[1] + s[3])
)
scores = st.integers(20, 100).map(lambda percent: percent / 100)
made = st.tuples(labels, scores, shapes, st.booleans())
several = st.lists(made, max_size=5)
sizes = st.none() | st.integers(1, 40)
rules = st.fixed_dictionaries(
    {
        "outcome": st.sampled_from(["REJECT", "REWORK"]),
        "classes": st.none() | st.lists(labels, min_size=1, max_size=3, unique=True),
        "max_count": st.integers(0, 2),
        "zone": st.none() | st.just("left"),
        "min_length_mm": sizes,
        "min_length_px": sizes,
        "max_area_px": st.none() | st.integers(100, 900),
    }
)
parameters = st.builds(
    lambda listed, calibration, ignore: {
        "recipe": {
            "rules": [{"name": f"rule-{number}", **one} for number, one in enumerate(listed)],
            "zones": {"left": [[0, 0], [100, 0], [100, 100], [0, 100]]},
        },
        "calibration": calibration,
        "ignore": [[[0, 0], [40, 0], [40, 40], [0, 40]]] if ignore else [],
    },
    st.lists(rules, max_size=4),
    st.none() | st.just(0.5),
    st.booleans(),
)


@pytest.fixture(scope="module")
def see(inspect: Inspect, defect: Build) -> Callable[[dict[str, Any], list[Made]], InspectionResult]:
    """Inspect one picture with what was made up."""

    def run(asked: dict[str, Any], found: list[Made]) -> InspectionResult:
        return inspect([defect(label, score, box, masked=masked) for label, score, box, masked in found], **asked)

    return run


See = Callable[[dict[str, Any], list[Made]], InspectionResult]


@settings(max_examples=100)
@given(asked=parameters, found=several, further=made)
def test_a_further_defect_never_makes_the_verdict_milder(
    see: See, asked: dict[str, Any], found: list[Made], further: Made
) -> None:
    before, after = see(asked, found), see(asked, [*found, further])
    assert severity(after.verdict) >= severity(before.verdict)


@given(asked=parameters, found=several)
def test_a_part_is_accepted_only_without_doubt_and_without_a_reason(
    see: See, asked: dict[str, Any], found: list[Made]
) -> None:
    result = see(asked, found)
    if result.verdict is Verdict.ACCEPT:
        assert all(one.certain for one in result.defects)
        assert result.reasons == ()
    else:
        assert result.reasons[0].outcome is result.verdict


@settings(max_examples=50)
@given(asked=parameters, found=several, random=st.randoms())
def test_the_same_detections_in_any_order_give_the_same_result(
    see: See, asked: dict[str, Any], found: list[Made], random: Random
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert see(asked, found) == see(asked, shuffled)


@given(asked=parameters, found=several)
def test_nothing_that_the_detector_saw_goes_missing(see: See, asked: dict[str, Any], found: list[Made]) -> None:
    result = see(asked, found)
    asked_for = [score for _, score, _, _ in found if score >= 0.25]
    assert len(result.defects) + result.ignored.total == len(asked_for)
    assert sum(result.counts.values()) == sum(one.certain for one in result.defects)
    known = {one.id for one in result.defects}
    assert all(set(reason.defects) <= known for reason in result.reasons)


@settings(max_examples=50)
@given(found=st.lists(made, min_size=1, max_size=5), length=st.integers(1, 40))
def test_a_calibration_settles_what_was_undecided_for_want_of_it(see: See, found: list[Made], length: int) -> None:
    # given a rule in millimetres and certain defects
    certain = [(label, 0.9, box, masked) for label, _, box, masked in found]
    asked = {"recipe": {"rules": [{"name": "size", "outcome": "REJECT", "min_length_mm": length}]}}
    # when there is no calibration, nothing is decided; with one, everything is
    assert see(asked, certain).verdict is Verdict.UNDECIDED
    assert see({**asked, "calibration": 1}, certain).verdict in (Verdict.ACCEPT, Verdict.REJECT)
