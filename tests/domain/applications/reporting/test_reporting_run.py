"""From a model's words and what is seen to a draft: every sentence has its evidence, or is not in it."""

from typing import Any

import pytest

from domain.applications.application import Configured
from domain.applications.reporting.application_of_reports import APPLICATION
from domain.applications.reporting.intended_use import shipped, shipped_bodies
from domain.applications.reporting.reading import Certainty
from domain.applications.reporting.result import ReportingResult, content
from domain.errors import InvalidParameters, ModelError
from domain.reports import UNVERIFIED
from domain.studies import SpacingSource
from tests.domain.applications.reporting.scripted import (
    CALIBRATED,
    FRONTAL,
    LEFT,
    MIDDLE,
    RIGHT,
    Draft,
    ScriptedVision,
)

SURE = {"pleural effusion": 0.99, "nodule": 0.99, "cardiomegaly": 0.99}


def texts(result: ReportingResult) -> list[str]:
    return [sentence.text for sentence in result.sentences]


def reasons(result: ReportingResult) -> list[tuple[str, str | None]]:
    return [(one.reason, one.finding) for one in result.removed]


def states(result: ReportingResult) -> dict[str, str]:
    return {one.finding: one.state for one in result.assessed}


def test_a_finding_with_a_place_is_reported_there_and_on_its_side(draft: Draft) -> None:
    result = draft("Large left pleural effusion.", places={"pleural effusion": [(LEFT, 0.8)]}, yes=SURE)

    (found,) = result.present
    assert texts(result) == ["Left pleural effusion."]
    assert (found.side, found.score, found.said) == ("left", 0.8, "Large left pleural effusion.")
    assert found.left_out == ("large",)
    assert found.box is not None
    assert found.box.xyxy == LEFT
    assert [sentence.findings for sentence in result.impression] == [("f1",)]


def test_a_finding_without_a_place_is_removed_and_counted(draft: Draft) -> None:
    result = draft("There is a nodule in the left upper zone.", yes=SURE)

    assert texts(result) == []
    assert reasons(result) == [("no-evidence", "nodule")]
    assert result.removed_count == 1
    assert states(result)["nodule"] == "not-assessed"


def test_a_place_below_the_threshold_is_none(draft: Draft) -> None:
    result = draft("There is a left nodule.", places={"nodule": [(LEFT, 0.39)]}, yes=SURE)

    assert reasons(result) == [("no-evidence", "nodule")]


def test_a_sentence_that_cannot_be_read_is_removed_and_counted(draft: Draft) -> None:
    result = draft("Unchanged since March. The pneumothorax has resolved.", places={"pneumothorax": [(LEFT, 0.9)]})

    assert reasons(result) == [("unread", None), ("unread", None)]
    assert result.findings == ()


def test_an_absence_needs_a_sure_no_in_every_picture(draft: Draft) -> None:
    told = draft("No pneumothorax.", "No pneumothorax.", yes={"pneumothorax": 0.05})
    doubted = draft("No pneumothorax.", yes={"pneumothorax": 0.2})

    assert texts(told) == ["No pneumothorax."]
    assert reasons(told) == [("repeated", "pneumothorax")]
    assert reasons(doubted) == [("no-evidence", "pneumothorax")]
    assert states(doubted)["pneumothorax"] == "not-assessed"


def test_a_no_that_is_unsure_in_another_picture_is_no_evidence_of_absence(draft: Draft) -> None:
    result = draft("No pneumothorax.", "Cows.", vision=ScriptedVision({}, unsure="picture-1"))

    assert reasons(result) == [("unread", None), ("no-evidence", "pneumothorax")]


def test_a_model_that_gives_no_shares_is_no_evidence_of_absence(draft: Draft) -> None:
    result = draft("No pneumothorax.", vision=ScriptedVision({}, shares=False))

    assert reasons(result) == [("no-evidence", "pneumothorax")]


def test_an_absence_where_a_place_was_found_is_removed_and_must_be_resolved(draft: Draft) -> None:
    result = draft("No pneumothorax.", places={"pneumothorax": [(LEFT, 0.6)]})

    assert reasons(result) == [("contradicted", "pneumothorax")]
    assert [(one.code, one.blocking) for one in result.discrepancies] == [("contradiction", True)]


def test_silence_is_never_no_finding(draft: Draft) -> None:
    result = draft("No pneumothorax.")

    assert result.impression == ()
    assert states(result)["nodule"] == "not-assessed"
    assert "no finding with evidence" in APPLICATION.headline(result)


def test_the_impression_denies_only_where_every_finding_was_assessed(draft: Draft) -> None:
    result = draft(
        "The lungs are clear. The heart is of normal size. "
        "No pneumothorax, pleural effusion, pacemaker or central venous catheter."
    )

    assert set(states(result).values()) == {"absent"}
    (sentence,) = result.impression
    assert len(sentence.findings) == 6
    assert sentence.text.startswith("No nodule, pleural effusion")


def test_an_answer_that_speaks_against_a_place_makes_the_finding_possible(draft: Draft) -> None:
    result = draft("Left nodule.", places={"nodule": [(LEFT, 0.8)]}, yes={"nodule": 0.3})

    assert result.present[0].certainty is Certainty.POSSIBLE
    assert texts(result) == ["Possible left nodule."]


def test_what_the_model_sees_when_asked_and_does_not_draft_is_told_to_the_reader(draft: Draft) -> None:
    result = draft("No pneumothorax.", yes={"nodule": 0.97})

    assert [(one.code, one.blocking) for one in result.discrepancies] == [("not-in-draft", False)]
    assert "nodule" not in " ".join(texts(result))


def test_a_side_that_is_seen_otherwise_is_left_out_and_must_be_resolved(draft: Draft) -> None:
    result = draft("Left pneumothorax.", places={"pneumothorax": [(RIGHT, 0.9)]}, yes={"pneumothorax": 0.99})

    assert texts(result) == ["Pneumothorax."]
    assert [(one.code, one.blocking) for one in result.discrepancies] == [("side", True)]
    assert APPLICATION.review(result).queue == "discrepancy"  # type: ignore[union-attr]


def test_a_file_whose_rows_lead_to_the_right_is_mirrored(draft: Draft) -> None:
    mirrored = FRONTAL.model_copy(update={"orientation": ("R", "F")})
    result = draft("Pneumothorax.", places={"pneumothorax": [(LEFT, 0.9)]}, yes={"pneumothorax": 1}, facts=[mirrored])

    assert texts(result) == ["Right pneumothorax."]


def test_what_lies_in_the_middle_tells_no_side(draft: Draft) -> None:
    result = draft("Left pneumothorax.", places={"pneumothorax": [(MIDDLE, 0.9)]}, yes={"pneumothorax": 1})

    assert texts(result) == ["Pneumothorax."]
    assert result.present[0].left_out == ("left",)


def test_both_sides_need_a_place_each(draft: Draft) -> None:
    both = {"pleural effusion": [(LEFT, 0.9), (RIGHT, 0.7)]}
    two = draft("Bilateral pleural effusions.", places=both, yes=SURE)
    one = draft("Bilateral pleural effusions.", places={"pleural effusion": [(LEFT, 0.9)]}, yes=SURE)

    assert texts(two) == ["Left pleural effusion.", "Right pleural effusion."]
    assert texts(one) == ["Left pleural effusion."]
    assert reasons(one) == [("no-evidence", "pleural effusion")]


def test_the_side_of_a_device_is_asked_for(draft: Draft) -> None:
    vision = ScriptedVision({}, {"pacemaker": [(MIDDLE, 0.9)]}, {"pacemaker": 0.99}, {"pacemaker": "left"})
    right = ScriptedVision({}, {"pacemaker": [(MIDDLE, 0.9)]}, {"Is there a pacemaker": 0.99}, {"none": "left"})

    assert texts(draft("There is a left pacemaker.", vision=vision)) == ["Left pacemaker."]
    assert [one.code for one in draft("There is a left pacemaker.", vision=right).discrepancies] == ["side"]


def test_what_the_boxes_are_good_for_is_measured_where_a_pixel_has_a_size(draft: Draft) -> None:
    places = {"cardiomegaly": [(MIDDLE, 0.8)], "nodule": [(LEFT, 0.8)]}
    known = draft("Cardiomegaly. Left nodule.", places=places, yes=SURE, facts=[CALIBRATED])
    unknown = draft("Cardiomegaly.", places=places, yes=SURE)

    by_name = {one.finding: one.measurement for one in known.present}
    heart = by_name["cardiomegaly"]
    assert heart is not None
    assert (heart.length_mm, heart.quantity, heart.source) == (160.0, "width", SpacingSource.PATIENT)
    assert by_name["nodule"] is None
    assert unknown.present[0].measurement is None
    assert "Cardiomegaly, 160 mm wide." in texts(known)


def test_a_size_at_the_detector_says_so(draft: Draft) -> None:
    spacing = CALIBRATED.spacing
    assert spacing is not None
    detector = spacing.model_copy(update={"source": SpacingSource.DETECTOR})
    facts = [CALIBRATED.model_copy(update={"spacing": detector})]
    result = draft("Cardiomegaly.", places={"cardiomegaly": [(MIDDLE, 0.8)]}, yes=SURE, facts=facts)

    assert texts(result) == ["Cardiomegaly, 160 mm wide at the detector."]


def test_the_model_is_told_what_the_intended_use_says_once_for_each_picture(draft: Draft) -> None:
    vision = ScriptedVision({})
    draft("No nodule.", "No nodule.", vision=vision)

    assert vision.instructions == [shipped()["chest-radiograph"].instruction] * 2


def test_an_error_of_the_model_is_no_draft(draft: Draft) -> None:
    with pytest.raises(ModelError):
        draft("No nodule.", vision=ScriptedVision({}, error=ModelError("it failed")))


class Kept:
    """A tenant's configurations: one intended use."""

    def __init__(self, **changes: Any) -> None:
        self.body = {**shipped_bodies()["chest-radiograph"], **changes}

    def find(self, kind: str, name: str, version: int | None = None) -> Configured:
        assert kind == "intended-use"
        return Configured(kind=kind, name=name, version=version or 3, digest="0" * 64, body=self.body)


def test_a_kept_intended_use_counts_and_is_named_in_the_result(draft: Draft) -> None:
    kept = Kept(findings=["nodule"], measured=[], instruction="Look for nodules.")
    vision = ScriptedVision({})
    result = draft("No nodule. No pneumothorax.", vision=vision, configurations=kept)

    assert vision.instructions == ["Look for nodules."]
    assert reasons(result) == [("not-intended", "pneumothorax")]
    assert (result.intended_use.version, list(states(result))) == (3, ["nodule"])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"findings": ["cow"]}, "cow"),
        ({"measured": ["pacemaker"]}, "measured"),
        ({"min_age_years": 90, "max_age_years": 18}, "more than"),
        ({"thresholds": {"box": 0.4, "absent": 0.5, "present": 0.9, "side": 0.9}}, "absent"),
    ],
)
def test_an_intended_use_that_makes_no_sense_drafts_nothing(
    draft: Draft, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidParameters, match=problem):
        draft("No nodule.", configurations=Kept(**changes))


def test_an_unknown_intended_use_is_refused_with_those_that_ship(draft: Draft) -> None:
    with pytest.raises(InvalidParameters, match="chest-radiograph"):
        draft("No nodule.", intended_use="brain")


def test_an_intended_use_cannot_come_with_a_job() -> None:
    with pytest.raises(InvalidParameters):
        APPLICATION.parse({"intended_use": dict(shipped_bodies()["chest-radiograph"])})


def test_a_result_is_unverified_and_cannot_be_made_to_say_otherwise(draft: Draft) -> None:
    told = draft("No nodule.").model_dump(mode="json")

    assert told["banner"] == UNVERIFIED
    with pytest.raises(ValueError, match="banner"):
        ReportingResult.model_validate({**told, "banner": "verified"})


def test_the_content_of_a_report_is_the_whole_result_without_the_banner(draft: Draft) -> None:
    result = draft("Left nodule. Cows.", places={"nodule": [(LEFT, 0.8)]}, yes=SURE, facts=[CALIBRATED])

    assert "banner" not in content(result)
    assert ReportingResult.model_validate(content(result)) == result


def test_removed_statements_are_counted_rightly_or_not_at_all(draft: Draft) -> None:
    told = draft("Cows graze.").model_dump(mode="json")

    with pytest.raises(ValueError, match="removed_count"):
        ReportingResult.model_validate({**told, "removed_count": 0})


def test_findings_are_kept_as_rows_with_their_places(draft: Draft) -> None:
    result = draft(
        "Cardiomegaly. No nodule.", places={"cardiomegaly": [(MIDDLE, 0.8)]}, yes={"cardio": 1}, facts=[CALIBRATED]
    )

    (row,) = APPLICATION.findings(result)
    assert (row.kind, row.box.xyxy, row.length_mm) == ("cardiomegaly", MIDDLE, 160.0)
