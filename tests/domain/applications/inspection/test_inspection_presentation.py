"""What is kept, drawn, told and compared of a result."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from domain.applications.inspection.contract import APPLICATION
from domain.applications.inspection.result import InspectionResult
from domain.marks import BannerMark, BoxMark, MaskMark, PolygonMark
from domain.vision import Detection

Build = Callable[..., Detection]
Inspect = Callable[..., InspectionResult]


@pytest.fixture
def result(inspect: Inspect, defect: Build) -> InspectionResult:
    """A crack (rejected), a pit (rework), a small stain (tolerated), a doubtful scratch; then a second picture."""
    return inspect(
        [
            defect("crack", 0.95, (10, 10, 30, 14)),
            defect("pit", 0.9, (50, 10, 60, 20), masked=False),
            defect("stain", 0.8, (80, 10, 90, 20)),
            defect("scratch", 0.3, (10, 50, 60, 54)),
        ],
        [defect("pit", 0.7, (5, 5, 15, 15))],
        calibration=0.1,
        roi=[[[0, 0], [200, 0], [200, 100], [0, 100]]],
        ignore=[[[190, 90], [200, 90], [200, 100]]],
    )


def test_each_defect_is_a_finding(result: InspectionResult) -> None:
    found = APPLICATION.findings(result)
    assert [(one.kind, one.image) for one in found] == [
        ("crack", 0),
        ("pit", 0),
        ("stain", 0),
        ("scratch", 0),
        ("pit", 1),
    ]
    assert found[0].area_mm2 == pytest.approx(0.8)
    assert found[0].length_mm == result.defects[0].length_mm


def test_each_defect_is_drawn_in_the_colour_of_what_it_caused(result: InspectionResult) -> None:
    drawn = APPLICATION.marks(result, 0)
    boxes = [(mark.caption, mark.tone) for mark in drawn if isinstance(mark, BoxMark)]
    assert boxes == [
        ("d1 crack 0.95, 2.04 mm", "bad"),
        ("d2 pit 0.90, 1.41 mm", "warn"),
        ("d3 stain 0.80, 1.41 mm", "good"),
        ("d4 scratch? 0.30, 5.02 mm", "info"),
    ]
    assert [mark.tone for mark in drawn if isinstance(mark, MaskMark)] == ["bad", "good", "info"]


def test_a_defect_that_two_rules_name_is_drawn_in_the_colour_of_the_worse_of_two(
    inspect: Inspect, defect: Build
) -> None:
    # given a long scratch, which the default recipe both rejects and would send to rework
    result = inspect([defect("scratch", 0.9, (10, 10, 190, 14))])
    assert [reason.outcome for reason in result.reasons] == ["REJECT", "REWORK"]
    # then it is drawn as what rejects the part
    assert {mark.tone for mark in APPLICATION.marks(result, 0) if isinstance(mark, BoxMark | MaskMark)} == {"bad"}


def test_regions_and_the_verdict_are_drawn_over_every_picture(result: InspectionResult) -> None:
    for image in (0, 1):
        drawn = APPLICATION.marks(result, image)
        assert [mark.caption for mark in drawn if isinstance(mark, PolygonMark)] == ["region of interest", "ignored"]
        assert drawn[-1] == BannerMark(text="REJECT: crack (2 pit, 1 crack, 1 stain, 1 doubtful)", tone="bad")
    assert sum(isinstance(mark, BoxMark) for mark in APPLICATION.marks(result, 1)) == 1


def test_a_zone_is_drawn_with_its_name(inspect: Inspect) -> None:
    recipe = {"zones": {"rim": [[0, 0], [9, 0], [9, 9]]}}
    (zone, _) = APPLICATION.marks(inspect([], recipe=recipe), 0)
    assert isinstance(zone, PolygonMark)
    assert zone.caption == "zone rim"


def test_a_clean_part_is_told_in_a_few_words(inspect: Inspect) -> None:
    assert APPLICATION.headline(inspect([])) == "ACCEPT (no defects)"


def test_a_result_that_ends_as_promised_has_no_mismatch(result: InspectionResult) -> None:
    promised = {
        "verdict": "REJECT",
        "classes": ["crack", "pit", "stain"],
        "counts": {"pit": 2, "scratch": 0},
        "boxes": [
            {"label": "pit", "box": [51, 10, 61, 20]},
            {"label": "pit", "box": [5, 5, 15, 15], "image": 1},
        ],
        "rules": ["grey-band", "crack", "pit"],
        "ignored": 0,
    }
    assert APPLICATION.mismatches(result, promised) == []


@pytest.mark.parametrize(
    ("promised", "told"),
    [
        ({"verdict": "ACCEPT"}, "the verdict is REJECT, expected ACCEPT (1 defect (crack), none allowed"),
        ({"classes": ["crack", "pit"]}, "the classes found are ['crack', 'pit', 'stain'], expected ['crack', 'pit']"),
        ({"counts": {"pit": 1}}, "2 of class 'pit' found, expected 1"),
        ({"counts": {"scratch": 1}}, "0 of class 'scratch' found, expected 1"),
        ({"rules": ["crack"]}, "the rules that gave a reason are ['crack', 'grey-band', 'pit'], expected ['crack']"),
        ({"ignored": 2}, "0 detections were left out, expected 2"),
        ({"boxes": [{"label": "pit", "box": [56, 10, 66, 20]}]}, "no pit of its own found at (56.0, 10.0, 66.0, 20.0)"),
        ({"boxes": [{"label": "crack", "box": [50, 10, 60, 20]}]}, "no crack of its own found"),
        ({"boxes": [{"label": "scratch", "box": [10, 50, 60, 54]}]}, "no scratch of its own found"),
        ({"boxes": [{"label": "pit", "box": [50, 10, 60, 20], "image": 1}]}, "in picture 2"),
        ({"colour": "red"}, "the expectation itself is malformed"),
        ({"verdict": "FINE"}, "the expectation itself is malformed"),
    ],
)
def test_whatever_ends_otherwise_is_told_in_a_sentence(
    result: InspectionResult, promised: dict[str, Any], told: str
) -> None:
    (sentence,) = APPLICATION.mismatches(result, promised)
    assert sentence.startswith(told) or told in sentence


def test_one_defect_cannot_stand_for_two_expected_boxes(inspect: Inspect, defect: Build) -> None:
    # given one pit where two are expected in nearly the same place
    expected = {"boxes": [{"label": "pit", "box": [10, 10, 30, 30]}, {"label": "pit", "box": [11, 10, 31, 30]}]}
    found = inspect([defect("pit", 0.9, (10, 10, 30, 30))])
    assert len(APPLICATION.mismatches(found, expected)) == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_expected_boxes_are_matched_so_that_as_many_as_possible_are_found(
    inspect: Inspect, defect: Build, order: Sequence[int]
) -> None:
    # given a wide pit that fits both expectations and a narrow one that fits only the first
    boxes = [{"label": "pit", "box": [0, 0, 20, 10]}, {"label": "pit", "box": [6, 0, 26, 10]}]
    found = inspect([defect("pit", 0.9, (3, 0, 23, 10)), defect("pit", 0.8, (0, 0, 15, 10))])
    # when they are matched one to one, whatever comes first
    assert APPLICATION.mismatches(found, {"boxes": [boxes[number] for number in order]}) == []
