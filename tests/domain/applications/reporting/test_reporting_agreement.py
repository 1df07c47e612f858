"""What must agree: the pictures with the intended use, and order, files, draft and prior report with each other."""

from typing import Any

import pytest

from domain.applications.reporting.application_of_reports import APPLICATION
from domain.applications.reporting.result import Change, ReportingResult
from domain.studies import StudyFacts
from tests.domain.applications.reporting.scripted import FRONTAL, LEFT, RIGHT, Draft

ORDER: dict[str, Any] = {"modality": "DX", "body_part": "CHEST", "view": "PA", "age_years": 50}
EFFUSION = {"pleural effusion": 0.99}


def facts(**changes: Any) -> StudyFacts:
    return FRONTAL.model_copy(update=changes)


def codes(result: ReportingResult) -> list[str]:
    return [reason.code for reason in result.abstained]


def test_a_bare_picture_is_outside_because_nothing_is_known_of_it(draft: Draft) -> None:
    result = draft("No nodule.", facts=[None])

    assert codes(result) == ["modality-unknown", "body-part-unknown", "view-unknown", "age-unknown"]
    assert (result.findings, result.drafts, result.sentences) == ((), (), ())


def test_the_order_tells_what_a_plain_picture_does_not(draft: Draft) -> None:
    assert codes(draft("No nodule.", facts=[None], **ORDER)) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"modality": "CT"}, "modality"),
        ({"body_part": "KNEE"}, "body-part"),
        ({"view": "LL"}, "view"),
        ({"age_years": 17.0}, "age"),
        ({"age_years": 121.0}, "age"),
        ({"contrast": True}, "contrast"),
        ({"age_years": None}, "age-unknown"),
        ({"modality": ""}, "modality-unknown"),
    ],
)
def test_a_picture_outside_the_intended_use_is_not_drafted_and_the_reason_is_told(
    draft: Draft, changes: dict[str, Any], code: str
) -> None:
    result = draft("No nodule.", facts=[facts(**changes)])

    assert codes(result) == [code]
    assert APPLICATION.review(result).queue == "abstained"  # type: ignore[union-attr]
    assert APPLICATION.headline(result) == f"AI draft, unverified: no draft ({code})"
    assert result.blocking == (f"abstained-{code}",)


def test_one_picture_outside_leaves_the_whole_study_without_a_draft(draft: Draft) -> None:
    result = draft("No nodule.", "No nodule.", facts=[FRONTAL, facts(view="LL")])

    assert [(one.code, one.image) for one in result.abstained] == [("view", 1)]
    assert result.drafts == ()


def test_more_pictures_than_intended_are_not_drafted(draft: Draft) -> None:
    assert codes(draft(*["No nodule."] * 5)) == ["pictures"]


def test_an_order_cannot_bring_a_file_into_the_intended_use(draft: Draft) -> None:
    result = draft("No nodule.", facts=[facts(modality="CT")], **ORDER)

    assert codes(result) == ["modality"]
    assert [one.code for one in result.discrepancies] == ["modality"]


@pytest.mark.parametrize(
    ("order", "changes", "code"),
    [
        ({"laterality": "left"}, {"laterality": "R"}, "laterality"),
        ({"laterality": "both"}, {"laterality": "L"}, "laterality"),
        ({"age_years": 40}, {}, "age"),
        ({"contrast": False}, {}, None),
        ({"laterality": "left"}, {"laterality": "L"}, None),
        ({"laterality": "left"}, {"laterality": ""}, None),
        ({"modality": "cr"}, {}, None),
        ({"body_part": "THORAX"}, {}, None),
        ({"age_years": 50.5}, {}, None),
    ],
)
def test_an_order_and_a_file_that_differ_must_be_resolved(
    draft: Draft, order: dict[str, Any], changes: dict[str, Any], code: str | None
) -> None:
    result = draft("No nodule.", facts=[facts(**changes)], **order)

    assert codes(result) == []
    assert [one.code for one in result.discrepancies if one.blocking] == ([code] if code else [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CT of the chest. No nodule.", "modality"),
        ("Radiograph after contrast. No nodule.", "contrast"),
        ("No nodule.", None),
    ],
)
def test_a_draft_that_speaks_of_another_examination_must_be_resolved(draft: Draft, text: str, code: str | None) -> None:
    result = draft(text, contrast=False)

    assert [one.code for one in result.discrepancies if one.blocking] == ([code] if code else [])


def test_a_finding_on_the_side_that_was_not_ordered_must_be_resolved(draft: Draft) -> None:
    seen: dict[str, Any] = {"places": {"pleural effusion": [(RIGHT, 0.9)]}, "yes": EFFUSION}

    assert [one.code for one in draft("Right effusion.", laterality="left", **seen).discrepancies] == ["laterality"]
    assert draft("Right effusion.", laterality="right", **seen).discrepancies == ()


def test_a_discrepancy_is_named_by_what_it_says(draft: Draft) -> None:
    first, again, other = (
        draft("No nodule.", facts=[facts(laterality=side)], laterality="both").blocking for side in ("L", "L", "R")
    )

    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("prior", "change"),
    [
        ("Left pleural effusion.", Change.UNCHANGED),
        ("Pleural effusion.", Change.UNCHANGED),
        ("Right pleural effusion.", Change.OTHER_SIDE),
        ("No pleural effusion.", Change.NEW),
        ("The heart is of normal size.", Change.NOT_IN_PRIOR),
        ("The pleural effusion has resolved.", Change.NOT_IN_PRIOR),
    ],
)
def test_what_is_there_is_compared_with_the_prior_report(draft: Draft, prior: str, change: Change) -> None:
    result = draft("Left effusion.", places={"pleural effusion": [(LEFT, 0.9)]}, yes=EFFUSION, prior=prior)

    assert [(one.change, one.findings) for one in result.comparison] == [(change, ("f1",))]
    assert bool(result.prior_unread) == ("resolved" in prior)
    assert ("prior-side" in [one.code for one in result.discrepancies]) == (change is Change.OTHER_SIDE)


def test_what_was_there_is_no_longer_seen_only_where_its_absence_has_evidence(draft: Draft) -> None:
    prior = "Left pleural effusion. Right nodule of 12 mm."
    result = draft("No pleural effusion.", prior=prior)

    told = {one.finding: (one.change, one.said) for one in result.comparison}
    assert told == {
        "pleural effusion": (Change.NO_LONGER_SEEN, "Left pleural effusion."),
        "nodule": (Change.NOT_ASSESSED, "Right nodule of 12 mm."),
    }


def test_of_two_sides_in_the_prior_report_none_is_forgotten(draft: Draft) -> None:
    result = draft(
        "Left effusion.", places={"pleural effusion": [(LEFT, 0.9)]}, yes=EFFUSION, prior="Bilateral pleural effusions."
    )

    told = [(one.side, one.change) for one in result.comparison]
    assert told == [("left", Change.UNCHANGED), ("right", Change.NOT_ASSESSED)]


def test_without_a_prior_report_nothing_is_compared(draft: Draft) -> None:
    assert draft("No nodule.").comparison == ()
