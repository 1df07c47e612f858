"""What each part of a rule asks for, and what the verdict is when several speak."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.applications.inspection.recipe import Verdict, shipped
from domain.applications.inspection.result import InspectionResult
from domain.vision import Detection

Build = Callable[..., Detection]
Inspect = Callable[..., InspectionResult]


def recipe(*rules: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A recipe of these rules, on classes that are all covered by a rule that never fires."""
    tolerant = {"name": "tolerated", "max_count": 1000, "outcome": "REWORK"}
    return {"name": "test", "rules": [*rules, tolerant], **rest}


def test_a_part_without_a_defect_is_accepted_for_no_reason_at_all(inspect: Inspect) -> None:
    result = inspect([])
    assert result.verdict is Verdict.ACCEPT
    assert result.reasons == ()
    assert result.defects == ()
    assert result.counts == {"scratch": 0, "pit": 0, "crack": 0, "stain": 0, "inclusion": 0}


@pytest.mark.parametrize(("label", "verdict"), [("crack", "REJECT"), ("stain", "ACCEPT")])
def test_a_rule_fires_for_its_classes_alone(inspect: Inspect, defect: Build, label: str, verdict: str) -> None:
    rule = {"name": "no-cracks", "classes": ["crack"], "outcome": "REJECT"}
    assert inspect([defect(label)], recipe=recipe(rule)).verdict == verdict


def test_a_rule_without_classes_speaks_of_all_that_the_recipe_lists(inspect: Inspect, defect: Build) -> None:
    result = inspect([defect("stain")], recipe={"rules": [{"name": "flawless", "outcome": "REJECT"}]})
    assert [(reason.rule, reason.outcome) for reason in result.reasons] == [("flawless", Verdict.REJECT)]


def test_a_reason_names_its_rule_its_defects_and_says_why(inspect: Inspect, defect: Build) -> None:
    rule = {"name": "long", "classes": ["scratch"], "min_length_mm": 2, "outcome": "REWORK"}
    result = inspect([defect("pit"), defect("scratch", 0.8, (50, 50, 80, 54))], recipe=recipe(rule), calibration=0.1)
    (reason,) = result.reasons
    assert (reason.rule, reason.outcome, reason.defects) == ("long", Verdict.REWORK, ("d2",))
    assert reason.sentence == (
        "1 defect (scratch, length at least 2 mm), none allowed: d2: scratch 3.03 mm long, 1.2 mm²"
    )


@pytest.mark.parametrize(
    ("limit", "fires"),
    [
        ({"min_area_px": 80}, True),
        ({"min_area_px": 81}, False),
        ({"max_area_px": 80}, True),
        ({"max_area_px": 79}, False),
        ({"min_length_px": 20}, True),
        ({"min_length_px": 21}, False),
        ({"max_length_px": 20}, False),
        ({"min_area_mm2": 20}, True),
        ({"min_area_mm2": 21}, False),
        ({"min_length_mm": 10.1}, True),
        ({"max_length_mm": 10.1}, False),
        ({"min_area_mm2": 1, "max_length_mm": 1}, False),
    ],
    ids=str,
)
def test_limits_are_inclusive_and_all_of_them_must_hold(
    inspect: Inspect, defect: Build, limit: dict[str, float], fires: bool
) -> None:
    # given a scratch of 20 by 4 pixels of half a millimetre
    scratch = defect("scratch", 0.9, (10, 10, 30, 14))
    # when a rule limits its size
    result = inspect([scratch], recipe=recipe({"name": "size", "outcome": "REJECT", **limit}), calibration=0.5)
    # then it fires only for a scratch within the limits
    assert result.verdict is (Verdict.REJECT if fires else Verdict.ACCEPT)


def test_a_limit_in_millimetres_goes_before_its_limit_in_pixels(inspect: Inspect, defect: Build) -> None:
    rule = {"name": "size", "outcome": "REJECT", "min_length_mm": 5, "min_length_px": 1000}
    assert inspect([defect("scratch")], recipe=recipe(rule), calibration=1).verdict is Verdict.REJECT


def test_without_a_calibration_the_limit_in_pixels_takes_its_place(inspect: Inspect, defect: Build) -> None:
    rule = {"name": "size", "outcome": "REJECT", "min_length_mm": 5, "min_length_px": 1000}
    assert inspect([defect("scratch")], recipe=recipe(rule)).verdict is Verdict.ACCEPT


def test_a_limit_in_millimetres_alone_is_undecided_without_a_calibration(inspect: Inspect, defect: Build) -> None:
    # given a rule that may or may not be broken, for want of a scale
    rule = {"name": "size", "classes": ["scratch"], "outcome": "REJECT", "min_length_mm": 5}
    # when a scratch is found
    result = inspect([defect("scratch")], recipe=recipe(rule))
    # then the part is not accepted, and the reason says what is missing
    (reason,) = result.reasons
    assert (result.verdict, reason.rule, reason.defects) == (Verdict.UNDECIDED, "size", ("d1",))
    assert "no calibration" in reason.sentence
    assert (result.defects[0].area_mm2, result.defects[0].length_mm) == (None, None)


@pytest.mark.parametrize(
    "rule",
    [
        {"classes": ["crack"], "min_length_mm": 5},
        {"classes": ["scratch"], "min_length_mm": 5, "max_count": 1},
        {"classes": ["scratch"], "min_length_mm": 5, "min_area_px": 1000},
    ],
    ids=["another class", "fewer than it allows", "another limit rules it out"],
)
def test_a_missing_calibration_is_no_matter_where_the_rule_could_not_fire_anyway(
    inspect: Inspect, defect: Build, rule: dict[str, Any]
) -> None:
    result = inspect([defect("scratch")], recipe=recipe({"name": "size", "outcome": "REJECT", **rule}))
    assert result.verdict is Verdict.ACCEPT


@pytest.mark.parametrize(("pits", "verdict"), [(3, "ACCEPT"), (4, "REJECT")])
def test_a_rule_fires_when_more_defects_count_than_it_allows(
    inspect: Inspect, defect: Build, pits: int, verdict: str
) -> None:
    found = [defect("pit", 0.9, (20 * n, 5, 20 * n + 5, 10)) for n in range(pits)]
    rule = {"name": "pits", "classes": ["pit"], "max_count": 3, "outcome": "REJECT"}
    assert inspect(found, recipe=recipe(rule)).verdict == verdict


def test_defects_of_all_pictures_are_counted_together(inspect: Inspect, defect: Build) -> None:
    rule = {"name": "pits", "classes": ["pit"], "max_count": 1, "outcome": "REJECT"}
    result = inspect([defect("pit")], [], [defect("pit")], recipe=recipe(rule))
    assert result.verdict is Verdict.REJECT
    assert [(one.id, one.image) for one in result.defects] == [("d1", 0), ("d2", 2)]


@pytest.mark.parametrize(
    ("shape", "zones", "verdict"),
    [
        ((110, 10, 130, 14), ("face",), "REJECT"),
        ((10, 10, 30, 14), (), "ACCEPT"),
        ((82, 10, 102, 14), ("face",), "REJECT"),
        ((81, 10, 101, 14), (), "ACCEPT"),
    ],
    ids=["inside", "outside", "a tenth of it inside", "less than a tenth inside"],
)
def test_a_rule_with_a_zone_speaks_of_what_lies_there(
    inspect: Inspect, defect: Build, shape: tuple[float, ...], zones: tuple[str, ...], verdict: str
) -> None:
    face = [[100, 0], [200, 0], [200, 100], [100, 100]]
    rule = {"name": "face", "zone": "face", "outcome": "REJECT"}
    result = inspect([defect("scratch", 0.9, shape)], recipe=recipe(rule, zones={"face": face}))
    assert result.defects[0].zones == zones
    assert result.verdict == verdict


def test_a_zone_outside_every_picture_leaves_the_part_undecided(inspect: Inspect) -> None:
    far = [[1000, 0], [1200, 0], [1200, 100]]
    result = inspect([], recipe=recipe({"name": "far", "zone": "far", "outcome": "REJECT"}, zones={"far": far}))
    assert result.verdict is Verdict.UNDECIDED
    assert "'far', which lies outside every picture" in result.reasons[0].sentence


def test_a_class_that_no_rule_speaks_of_is_never_accepted_by_silence(inspect: Inspect, defect: Build) -> None:
    cracks_only = {"rules": [{"name": "crack", "classes": ["crack"], "outcome": "REJECT"}]}
    result = inspect([defect("stain"), defect("pit")], recipe=cracks_only)
    assert result.verdict is Verdict.UNDECIDED
    assert [(reason.rule, reason.defects) for reason in result.reasons] == [("no-rule", ("d1",)), ("no-rule", ("d2",))]


def test_the_most_severe_outcome_wins_and_the_others_stay_on_record(inspect: Inspect, defect: Build) -> None:
    # given a rule for rework that comes first, one that rejects, and a doubt
    rework = {"name": "pit", "classes": ["pit"], "outcome": "REWORK"}
    reject = {"name": "crack", "classes": ["crack"], "outcome": "REJECT"}
    doubt, pit, crack = defect("stain", 0.3), defect("pit", 0.8), defect("crack", 0.7)
    # when more and more of it is found
    verdicts = [inspect(found, recipe=recipe(rework, reject)) for found in ([doubt], [doubt, pit], [doubt, pit, crack])]
    # then each outweighs the one before, and the last names all three
    assert [result.verdict for result in verdicts] == ["UNDECIDED", "REWORK", "REJECT"]
    assert [reason.rule for reason in verdicts[-1].reasons] == ["crack", "pit", "grey-band"]


@pytest.mark.parametrize(
    ("label", "verdict"),
    [("crack", "REJECT"), ("inclusion", "REJECT"), ("scratch", "REWORK"), ("pit", "REWORK"), ("stain", "ACCEPT")],
)
def test_the_default_recipe_gives_a_bare_picture_a_verdict(
    inspect: Inspect, defect: Build, label: str, verdict: str
) -> None:
    assert inspect([defect(label)]).verdict == verdict


def test_the_strict_recipe_cannot_judge_a_stain_without_a_calibration(inspect: Inspect, defect: Build) -> None:
    assert inspect([defect("stain")], recipe="strict").verdict is Verdict.UNDECIDED
    assert inspect([defect("stain")], recipe="strict", calibration=0.1).verdict is Verdict.ACCEPT
    assert inspect([defect("stain")], recipe="strict", calibration=0.5).verdict is Verdict.REWORK


def test_every_shipped_recipe_bears_the_name_of_its_file_and_covers_its_classes() -> None:
    assert "default" in shipped()
    for name, one in shipped().items():
        assert one.name == name
        assert set(one.classes) == {label for rule in one.rules for label in one.concerned(rule)}
