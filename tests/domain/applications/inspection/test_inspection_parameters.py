"""What is refused before anything is stored, and how it is said."""

from typing import Any

import pytest

from domain.applications.inspection.contract import APPLICATION
from domain.errors import InvalidParameters

TRIANGLE = [[0, 0], [10, 0], [0, 10]]


def rule(**fields: Any) -> dict[str, Any]:
    """Parameters with an inline recipe of one rule."""
    return {"recipe": {"rules": [{"name": "r", "outcome": "REJECT", **fields}]}}


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"recipe": "defualt"}, "there is no recipe 'defualt'; there are: default, strict"),
        ({"recipe": 5}, "recipe: Input should be a valid dictionary"),
        ({"recipe": {"classes": ["dent"]}}, "class 'dent'; the default detector knows: scratch, pit, crack"),
        (rule(classes=["dent"]), "rule 'r' names the class 'dent'; the recipe's classes are: scratch, pit"),
        (rule(zone="rim"), "rule 'r' names the zone 'rim'; the recipe's zones are: none"),
        (rule(outcome="ACCEPT"), "recipe.rules.0.outcome: Input should be 'REJECT' or 'REWORK'"),
        (rule(min_area_mm2=5, max_area_mm2=3), "rule 'r': min_area_mm2 5 is more than max_area_mm2 3"),
        (rule(min_area_px=5, max_area_px=3), "min_area_px 5 is more than max_area_px 3"),
        (rule(min_length_mm=5, max_length_mm=3), "min_length_mm 5 is more than max_length_mm 3"),
        (rule(min_length_px=5, max_length_px=3), "min_length_px 5 is more than max_length_px 3"),
        (rule(max_count=-1), "recipe.rules.0.max_count: Input should be greater than or equal to 0"),
        (rule(name="grey-band"), "a rule cannot be called 'grey-band'"),
        (rule(classes=[]), "recipe.rules.0.classes"),
        (rule(min_size=3), "recipe.rules.0.min_size: Extra inputs are not permitted"),
        ({"recipe": {"classes": ["pit", "pit"]}}, "the class 'pit' is named twice"),
        ({"recipe": {"rules": [{"name": "r", "outcome": "REJECT"}] * 2}}, "the rule 'r' is named twice"),
        ({"recipe": {"min_score": 0.2, "review_score": 0.3}}, "review_score 0.3 is more than min_score 0.2"),
        ({"recipe": {"min_score": 1.2}}, "recipe.min_score"),
        ({"recipe": {"quality": {"min_brightness": 0.9, "max_brightness": 0.1}}}, "no picture could pass"),
        ({"calibration": 0}, "calibration.mm_per_px_x: Input should be greater than 0"),
        ({"calibration": "fine"}, "calibration.mm_per_px_x: Input should be a valid number"),
        ({"calibration": True}, "calibration"),
        ({"roi": [[[0, 0], [1, 1]]]}, "roi.0.points"),
        ({"ignore": [[[0, 0], [1, 1], [float("nan"), 2]]]}, "ignore.0.points.2.0: Input should be a finite number"),
        ({"roi": [[[0, 0], [1, 1], [2e6, 2]]]}, "a polygon's coordinates are pixels, at most 1000000"),
        ({"roi": [[[n, n] for n in range(1001)]]}, "a polygon takes at most 1000 points, not 1001"),
        ({"roi": [TRIANGLE] * 65}, "roi: Tuple should have at most 64 items"),
        ({"serial": "x" * 129}, "serial: String should have at most 128 characters"),
        ({"lot": "a\x00b"}, "lot: String should match pattern"),
        ({"camera": "c"}, "camera: is not known here; there are: part, serial"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_parameter_is_refused_by_name_with_the_choices(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidParameters) as raised:
        APPLICATION.parse(parameters)
    assert raised.value.code == "invalid_parameters"
    assert told in raised.value.message
    assert "Value error" not in raised.value.message


@pytest.mark.parametrize(
    "parameters",
    [
        rule(min_area_px=5, max_area_px=5, min_length_mm=0),
        {"recipe": {"min_score": 0.3, "review_score": 0.3}},
        {"recipe": {"quality": {"min_brightness": 0.5, "max_brightness": 0.5}}},
    ],
    ids=["a size to the point", "no grey band", "a brightness to the point"],
)
def test_limits_that_meet_are_no_contradiction(parameters: dict[str, Any]) -> None:
    assert APPLICATION.parse(parameters).recipe.name == "inline"


def test_every_parameter_has_a_default() -> None:
    parsed = APPLICATION.parse({})
    assert parsed.recipe.name == "default"
    assert (parsed.part, parsed.calibration, parsed.roi, parsed.ignore, parsed.model) == (None, None, (), (), None)


def test_a_named_model_may_know_other_classes() -> None:
    parsed = APPLICATION.parse({"model": "dents", "recipe": {"classes": ["dent"]}})
    assert parsed.recipe.classes == ("dent",)


def test_a_polygon_is_a_list_of_points_or_an_object() -> None:
    parsed = APPLICATION.parse({"roi": [TRIANGLE, {"points": TRIANGLE}]})
    assert parsed.roi[0] == parsed.roi[1]


def test_parameters_survive_the_way_through_json() -> None:
    parsed = APPLICATION.parse({"recipe": "strict", "calibration": 0.1, "roi": [TRIANGLE]})
    assert APPLICATION.parse(parsed.model_dump(mode="json")) == parsed


def test_the_schema_for_people_says_that_a_recipe_is_a_name_or_an_object() -> None:
    choices = APPLICATION.parameters.model_json_schema()["properties"]["recipe"]["anyOf"]
    assert choices == [{"type": "string"}, {"$ref": "#/$defs/Recipe"}]
