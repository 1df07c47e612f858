"""Inspections by a golden reference: what is compared with what, and what a comparison that fails comes to."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from domain.applications.application import Case, Memory
from domain.applications.inspection.contract import APPLICATION
from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import InspectionResult
from domain.errors import InvalidParameters
from domain.marks import BannerMark
from domain.vision import Detection, Picture, Registration

Build = Callable[..., Detection]
Run = Callable[..., tuple[InspectionResult, Any]]

BOARD = {"name": "board", "classes": ["open"], "rules": [{"name": "open", "outcome": "REJECT"}]}
LOOSE = Registration(correlation=0.7, covered=1.0, shift_px=0.0, rotation_deg=0.0, scale=1.0)
PARTLY = LOOSE.model_copy(update={"correlation": 0.99, "covered": 0.8})


@pytest.fixture
def run(table_vision: Callable[..., Any]) -> Run:
    """Inspect pictures by name, each with what is found in it; the first is the reference."""

    def of(
        found: dict[str, tuple[Detection, ...]],
        fits: dict[str, Registration | None] | None = None,
        even: str = "",
        **more: Any,
    ) -> tuple[InspectionResult, Any]:
        vision = table_vision(found, known=("open",), fits=fits or {}, even=even)
        asked = APPLICATION.parse({"model": "boards", "recipe": BOARD, "reference": 0, **more})
        pictures = tuple(Picture(name, 200, 100) for name in ("golden", *found))
        return APPLICATION.run(Case(asked, pictures, vision, cast("Memory", None))), vision

    return of


def test_every_picture_but_the_reference_is_compared_with_it_and_judged(run: Run, defect: Build) -> None:
    result, vision = run({"good": (), "bad": (defect("open"),)})

    assert vision.compared == [("good", "golden over good"), ("bad", "golden over bad")]
    assert (result.verdict, [one.image for one in result.defects]) == (Verdict.REJECT, [2])
    assert [(one.image, one.reference, one.passed) for one in result.comparisons] == [(1, 0, True), (2, 0, True)]
    told = result.comparisons[0].registration
    assert told is not None
    assert (told.correlation, told.shift_px) == (0.98, 2.5)


def test_without_a_reference_nothing_is_compared(table_vision: Callable[..., Any]) -> None:
    vision = table_vision({"a": ()})

    result = APPLICATION.run(Case(APPLICATION.parse({}), (Picture("a", 9, 9),), vision, cast("Memory", None)))

    assert (vision.compared, result.comparisons, result.verdict) == ([], (), Verdict.ACCEPT)


def test_a_picture_that_does_not_show_the_same_is_not_looked_at_and_left_to_a_person(run: Run) -> None:
    result, vision = run({"other": ()}, {"other": None})

    (reason,) = result.reasons
    assert (result.verdict, reason.rule, reason.image) == (Verdict.UNDECIDED, "reference", 1)
    assert reason.sentence == (
        "picture 2 could not be compared with its reference (picture 1): they do not show the same"
    )
    assert vision.asked == []
    assert result.comparisons[0].registration is None


@pytest.mark.parametrize(("fit", "words"), [(LOOSE, "correlate by 0.7"), (PARTLY, "reaches 80.0% of the picture")])
def test_a_doubtful_comparison_accepts_nothing_but_rejects_by_what_it_found(
    run: Run, defect: Build, fit: Registration, words: str
) -> None:
    clean, _ = run({"a": ()}, {"a": fit})
    bad, _ = run({"a": (defect("open"),)}, {"a": fit})

    assert clean.verdict is Verdict.UNDECIDED
    assert words in clean.reasons[0].sentence
    assert [reason.rule for reason in bad.reasons] == ["open", "reference"]
    assert bad.verdict is Verdict.REJECT


def test_a_pair_that_the_detector_can_make_nothing_of_is_undecided(run: Run) -> None:
    result, _ = run({"a": (), "b": ()}, even="b")

    assert result.verdict is Verdict.UNDECIDED
    (reason,) = result.reasons
    assert (reason.rule, reason.image) == ("reference", 2)
    assert "the reference shows too little" in reason.sentence
    assert [one.passed for one in result.comparisons] == [True, False]


def test_a_recipe_says_how_well_a_reference_must_fit(run: Run) -> None:
    lenient = {**BOARD, "reference": {"min_correlation": 0.65, "min_covered": 0.75}}

    assert run({"a": ()}, {"a": LOOSE}, recipe=lenient)[0].verdict is Verdict.ACCEPT
    assert run({"a": ()}, {"a": PARTLY}, recipe=lenient)[0].verdict is Verdict.ACCEPT


@pytest.mark.parametrize(("reference", "count"), [(0, 1), (1, 1), (2, 2)])
def test_a_reference_beside_the_pictures_is_refused_at_submission_and_in_the_run(
    table_vision: Callable[..., Any], reference: int, count: int
) -> None:
    asked = APPLICATION.parse({"model": "boards", "recipe": BOARD, "reference": reference})
    pictures = tuple(Picture(str(number), 9, 9) for number in range(count))

    with pytest.raises(InvalidParameters, match=f"image {reference} of {count}"):
        asked.check_images(count)
    with pytest.raises(InvalidParameters, match="one more is needed"):
        APPLICATION.run(Case(asked, pictures, table_vision({}, known=("open",)), cast("Memory", None)))


def test_a_reference_goes_with_a_model_that_was_trained_on_pairs() -> None:
    with pytest.raises(InvalidParameters, match="the default detector compares with no reference"):
        APPLICATION.parse({"reference": 1})


@pytest.mark.parametrize("told", [-1, "first", 1.5])
def test_a_reference_is_an_images_place(told: object) -> None:
    with pytest.raises(InvalidParameters, match="reference"):
        APPLICATION.parse({"reference": told, "model": "boards"})


def test_the_reference_bears_nothing_but_its_name(run: Run, defect: Build) -> None:
    result, _ = run({"bad": (defect("open"),)}, roi=[[[0, 0], [200, 0], [200, 100], [0, 100]]])

    assert APPLICATION.marks(result, 0) == (BannerMark(text="golden reference", tone="info"),)
    assert len(APPLICATION.marks(result, 1)) > 2


def test_a_comparison_survives_the_way_through_json(run: Run) -> None:
    result, _ = run({"a": (), "b": ()}, {"b": None})

    assert APPLICATION.result.model_validate_json(result.model_dump_json()) == result
