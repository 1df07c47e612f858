"""What an inspection looks at, what it leaves out, and what it says of it."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from domain.applications.application import Case, Memory
from domain.applications.inspection.contract import APPLICATION
from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import InspectionResult
from domain.errors import InvalidParameters
from domain.geometry import Mask
from domain.vision import Detection, Picture, Quality

Build = Callable[..., Detection]
Inspect = Callable[..., InspectionResult]

ORDINARY = Quality(sharpness=120.0, brightness=0.5, contrast=0.1)
LEFT_HALF = [[0, 0], [100, 0], [100, 100], [0, 100]]
RIGHT_HALF = [[100, 0], [200, 0], [200, 100], [100, 100]]


@pytest.mark.parametrize(("score", "certain", "verdict"), [(0.4, True, "REJECT"), (0.399, False, "UNDECIDED")])
def test_a_score_in_the_grey_band_is_left_to_a_person(
    inspect: Inspect, defect: Build, score: float, certain: bool, verdict: str
) -> None:
    result = inspect([defect("crack", score)])
    assert (result.verdict, result.defects[0].certain, result.counts["crack"]) == (verdict, certain, int(certain))
    assert ("score 0.40" in result.reasons[0].sentence) == (not certain)


def test_the_named_model_is_asked_down_to_the_review_score(
    table_vision: Callable[..., Any],
) -> None:
    vision = table_vision({"a": ()}, known=("dent",))
    asked = APPLICATION.parse({"model": "dents", "recipe": {"classes": ["dent"], "review_score": 0.1, "rules": []}})
    APPLICATION.run(Case(asked, (Picture("a", 10, 10),), vision, cast("Memory", None)))
    assert vision.asked == [("a", "dents", 0.1)]


def test_a_recipe_class_that_the_model_does_not_know_fails_the_job(inspect: Inspect) -> None:
    with pytest.raises(InvalidParameters, match=r"'crack'.*does not know; it knows: scratch, pit") as raised:
        inspect([], known=("scratch", "pit"))
    assert raised.value.details["unknown"] == ["crack", "stain", "inclusion"]
    assert not raised.value.retryable


def test_a_class_that_the_recipe_does_not_list_is_left_out_and_counted(inspect: Inspect, defect: Build) -> None:
    cracks = {"classes": ["crack"], "rules": [{"name": "crack", "outcome": "REJECT"}]}
    result = inspect([defect("stain"), defect("pit")], recipe=cracks)
    assert (result.verdict, result.defects, result.ignored.other_class) == (Verdict.ACCEPT, (), 2)


@pytest.mark.parametrize(
    ("x0", "kept"), [(10, True), (90, True), (91, False), (150, False)], ids=["inside", "half", "under half", "outside"]
)
@pytest.mark.parametrize("masked", [True, False])
def test_a_defect_counts_when_half_of_it_lies_in_the_region_of_interest(
    inspect: Inspect, defect: Build, x0: int, kept: bool, masked: bool
) -> None:
    found = [defect("crack", 0.9, (x0, 10, x0 + 20, 14), masked=masked)]
    result = inspect(found, roi=[LEFT_HALF])
    assert len(result.defects) == int(kept)
    assert result.ignored.outside_roi == result.ignored.total == int(not kept)
    assert result.verdict is (Verdict.REJECT if kept else Verdict.ACCEPT)


def test_what_lies_in_an_ignored_polygon_is_left_out_and_counted(inspect: Inspect, defect: Build) -> None:
    found = [defect("crack", 0.9, (150, 10, 170, 14)), defect("crack", 0.8, (20, 10, 40, 14))]
    result = inspect(found, ignore=[RIGHT_HALF])
    assert [one.box.x0 for one in result.defects] == [20]
    assert (result.ignored.in_ignored_area, result.ignored.total) == (1, 1)


def test_a_doubtful_defect_in_an_ignored_polygon_leaves_no_doubt(inspect: Inspect, defect: Build) -> None:
    result = inspect([defect("crack", 0.3, (150, 10, 170, 14))], ignore=[RIGHT_HALF])
    assert (result.verdict, result.ignored.total) == (Verdict.ACCEPT, 1)


@pytest.mark.parametrize(
    "regions",
    [{"roi": [[[500, 0], [600, 0], [600, 50]]]}, {"ignore": [LEFT_HALF, RIGHT_HALF]}],
    ids=["a region of interest beside the picture", "ignored polygons over all of it"],
)
def test_a_picture_of_which_nothing_is_inspected_is_undecided(inspect: Inspect, regions: dict[str, object]) -> None:
    result = inspect([], **regions)
    assert (result.verdict, result.reasons[0].rule, result.reasons[0].image) == (Verdict.UNDECIDED, "region", 0)


def test_millimetres_honour_the_size_of_a_pixel_each_way(inspect: Inspect, defect: Build) -> None:
    # given a scratch 30 pixels wide and 40 high, of pixels of 0.1 by 0.2 mm
    scratch = defect("scratch", 0.9, (10, 10, 40, 50))
    (found,) = inspect([scratch], calibration={"mm_per_px_x": 0.1, "mm_per_px_y": 0.2}).defects
    # then its diagonal is 3 mm by 8 mm
    assert found.length_mm == pytest.approx((3**2 + 8**2) ** 0.5)
    assert found.area_mm2 == pytest.approx(24)
    assert (found.length_px, found.area_px) == (50, 1200)


def test_a_single_number_calibrates_both_axes(inspect: Inspect) -> None:
    calibration = inspect([], calibration=0.25).calibration
    assert calibration is not None
    assert (calibration.mm_per_px_x, calibration.mm_per_px_y) == (0.25, 0.25)


def test_a_detection_without_a_mask_is_measured_by_its_box(inspect: Inspect, defect: Build) -> None:
    (found,) = inspect([defect("scratch", 0.9, (10, 10, 40, 50), masked=False)]).defects
    assert (found.mask, found.area_px, found.length_px) == (None, 1200, 50)


def test_an_empty_mask_is_measured_by_its_box_too(inspect: Inspect, defect: Build) -> None:
    empty = defect("scratch", 0.9, (10, 10, 40, 50)).model_copy(
        update={"mask": Mask(height=100, width=200, counts=(20_000,))}
    )
    (found,) = inspect([empty]).defects
    assert (found.area_px, found.length_px) == (1200, 50)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"brightness": 0.01}, "too dark"),
        ({"brightness": 0.99}, "too bright"),
        ({"contrast": 0.001}, "without contrast"),
    ],
)
def test_a_picture_that_shows_nothing_is_undecided(inspect: Inspect, changed: dict[str, float], what: str) -> None:
    unfit = ORDINARY.model_copy(update=changed)
    result = inspect([], [], measures={"picture-1": unfit})
    (reason,) = result.reasons
    assert (result.verdict, reason.rule, reason.image) == (Verdict.UNDECIDED, "quality", 1)
    assert f"picture 2 is {what}" in reason.sentence
    assert [one.passed for one in result.quality] == [True, False]


def test_blur_is_no_matter_until_a_recipe_says_so(inspect: Inspect) -> None:
    smooth = {"picture-0": Quality(sharpness=0, brightness=0.5, contrast=0.05)}
    sharp_only = {"rules": [], "quality": {"min_sharpness": 20}}
    assert inspect([], measures=smooth).verdict is Verdict.ACCEPT
    assert "blurred" in inspect([], measures=smooth, recipe=sharp_only).reasons[0].sentence


def test_defects_are_numbered_by_picture_and_falling_score(inspect: Inspect, defect: Build) -> None:
    result = inspect([defect("pit", 0.5), defect("stain", 0.9)], [defect("crack", 0.95)])
    assert [(one.id, one.label) for one in result.defects] == [("d1", "stain"), ("d2", "pit"), ("d3", "crack")]


def test_detections_alike_but_for_the_mask_are_numbered_the_same_in_any_order(inspect: Inspect, defect: Build) -> None:
    pair = [defect("pit", 0.9, (0, 0, 1, 1)), defect("pit", 0.9, (0, 0, 1, 1), masked=False)]
    assert inspect(pair) == inspect(pair[::-1])


def test_the_result_says_which_part_and_which_recipe(inspect: Inspect) -> None:
    result = inspect([], part="P-1", serial="S-2", station="cam-3", lot="L-4", recipe={"name": "mine", "version": "7"})
    assert (result.part, result.serial, result.station, result.lot) == ("P-1", "S-2", "cam-3", "L-4")
    assert (result.recipe.name, result.recipe.version, len(result.recipe.digest)) == ("mine", "7", 64)


def test_recipes_of_one_content_have_one_digest_and_others_another(inspect: Inspect) -> None:
    plain, same, other = (
        inspect([], recipe=one).recipe.digest
        for one in ({"rules": []}, {"min_score": 0.40, "name": "inline"}, {"min_score": 0.41})
    )
    assert plain == same != other


def test_a_result_survives_the_way_through_json(inspect: Inspect, defect: Build) -> None:
    result = inspect([defect("crack"), defect("pit", 0.3, masked=False)], roi=[LEFT_HALF], calibration=0.1)
    assert APPLICATION.result.model_validate_json(result.model_dump_json()) == result
