"""What a draft shows to people: its marks, its queue, its figures, and what samples promise of it."""

from typing import Any

import pytest

from domain.applications.reporting.application_of_reports import APPLICATION
from domain.applications.reporting.quality import edit_distance, figures
from domain.applications.reporting.result import ReportingResult
from domain.marks import BannerMark, BoxMark
from domain.reports import UNVERIFIED
from tests.domain.applications.reporting.scripted import LEFT, RIGHT, Draft


@pytest.fixture
def effusion(draft: Draft) -> ReportingResult:
    return draft("Left effusion. No pneumothorax.", places={"pleural effusion": [(LEFT, 0.9)]}, yes={"effusion": 0.99})


def test_every_picture_bears_the_banner_alone_in_its_line(draft: Draft, effusion: ReportingResult) -> None:
    nothing = draft("No nodule.", "No nodule.", facts=[None, None])

    for result, image in ((effusion, 0), (nothing, 0), (nothing, 1)):
        banners = [mark.text for mark in APPLICATION.marks(result, image) if isinstance(mark, BannerMark)]
        assert banners[0] == UNVERIFIED


def test_a_finding_is_drawn_in_its_own_picture_alone(draft: Draft) -> None:
    result = draft("No nodule.", "Right effusion.", places={"pleural effusion": [(RIGHT, 0.9)]}, yes={"effusion": 0.99})

    boxes = [[mark for mark in APPLICATION.marks(result, at) if isinstance(mark, BoxMark)] for at in (0, 1)]
    assert boxes[0] == []
    assert [box.caption for box in boxes[1]] == ["f1 right pleural effusion 0.90"]


def test_every_draft_waits_for_a_person(effusion: ReportingResult) -> None:
    need = APPLICATION.review(effusion)

    assert need is not None
    assert (need.queue, need.reasons) == ("draft", ("unverified",))
    assert APPLICATION.failures == "failed"


def test_the_headline_begins_with_the_banner(effusion: ReportingResult) -> None:
    assert APPLICATION.headline(effusion) == "AI draft, unverified: left pleural effusion"


def test_patient_data_does_not_come_in_by_celery() -> None:
    assert APPLICATION.patient_data


def test_a_draft_that_a_reader_leaves_as_it_is_was_accepted_unchanged(effusion: ReportingResult) -> None:
    told = figures(effusion, effusion)

    assert (told.edit_distance, told.edit_share, told.accepted_unchanged) == (0, 0.0, True)


def test_what_a_reader_adds_and_removes_is_counted(draft: Draft, effusion: ReportingResult) -> None:
    reader = draft("Right nodule. No pneumothorax.", places={"nodule": [(RIGHT, 0.9)]}, yes={"nodule": 0.99})
    told = figures(effusion, reader)

    assert told.findings_added == ("right nodule",)
    assert told.findings_removed == ("left pleural effusion",)
    assert not told.accepted_unchanged
    # left, pleural -> right; effusion -> nodule; the same again in the impression
    assert told.edit_distance == 6


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("a b c", "", 3), ("", "a", 1), ("a b c", "a x c", 1), ("a b c", "b c d", 2), ("a b", "b a", 2)],
)
def test_the_edit_distance_counts_words(a: str, b: str, distance: int) -> None:
    assert edit_distance(a.split(), b.split()) == distance


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"present": ["left pleural effusion"], "absent": ["pneumothorax"], "abstained": [], "removed": 0}, None),
        ({"places": {"left pleural effusion": LEFT}, "discrepancies": []}, None),
        ({"present": []}, "expected []"),
        ({"absent": ["nodule"]}, "no nodule"),
        ({"places": {"left pleural effusion": RIGHT}}, "not told at"),
        ({"abstained": ["view"]}, "view"),
        ({"discrepancies": ["side"]}, "side"),
        ({"removed": 2}, "expected 2"),
        ({"changes": {"nodule": "new"}}, "prior"),
        ({"cows": 1}, "malformed"),
    ],
)
def test_a_sample_holds_or_says_where_it_does_not(
    effusion: ReportingResult, expect: dict[str, Any], said: str | None
) -> None:
    found = APPLICATION.mismatches(effusion, expect)

    assert len(found) == (0 if said is None else 1)
    assert said is None or said in found[0]
