"""The statement of reasons: the fields of the EU's transparency database, from a result alone."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from domain.applications.moderation.policy import Policy
from domain.applications.moderation.result import Decision, ModerationResult
from domain.applications.moderation.statement import MOST_FACTS, StatementOfReasons, statement
from domain.errors import InvalidRequest
from tests.domain.applications.moderation.scripted import ScriptedVision, policy

Moderate = Callable[..., ModerationResult]
AGAINST = {
    "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
    "category": "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
    "reference": "Terms, section 3",
    "explanation": "Weapons are not to be shown.",
    "reference_url": "https://platform.example/terms",
    "illegal_too": False,
}
ILLEGAL = {
    "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT",
    "category": "STATEMENT_CATEGORY_VIOLENCE",
    "reference": "Section 130",
    "explanation": "It is forbidden.",
}
TEXT = {"kind": "text", "contacts": ["phone"]}


def grounded(ground: dict[str, Any] | None, *signals: dict[str, Any], action: str = "block") -> dict[str, Any]:
    told = policy(*signals, action=action)
    told["labels"]["weapon"]["ground"] = ground
    return told


def told(result: ModerationResult, *, by_person: bool = False, **more: Any) -> dict[str, Any]:
    made = statement(result, puid="so-1", applied_on=date(2026, 3, 2), decided_by_person=by_person, **more)
    return made.model_dump(mode="json", exclude_none=True)


@pytest.fixture
def blocked(moderate: Moderate) -> ModerationResult:
    """A sword in a picture that was posted on the first of March."""
    vision = ScriptedVision(shares={"a sword": 0.9})
    return moderate(vision, policy=grounded(AGAINST), content_date="2026-03-01", text="look")


def test_a_block_makes_a_statement_with_every_field_that_is_required(blocked: ModerationResult) -> None:
    assert told(blocked, territories=("FR", "DE")) == {
        "decision_visibility": ["DECISION_VISIBILITY_CONTENT_DISABLED"],
        "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "decision_ground_reference_url": "https://platform.example/terms",
        "incompatible_content_ground": "Terms, section 3",
        "incompatible_content_explanation": "Weapons are not to be shown.",
        "incompatible_content_illegal": "No",
        "content_type": ["CONTENT_TYPE_IMAGE", "CONTENT_TYPE_TEXT"],
        "category": "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
        "territorial_scope": ["DE", "FR"],
        "content_date": "2026-03-01",
        "application_date": "2026-03-02",
        "decision_facts": (
            "The decision was taken automatically under the policy 'inline', on the surface 'default'. The content was "
            "found to be: a weapon. It was noticed by its likeness to words in picture 1, with a score of 0.90, the "
            "policy's threshold is 0.8."
        ),
        "source_type": "SOURCE_VOLUNTARY",
        "automated_detection": "Yes",
        "automated_decision": "AUTOMATED_DECISION_FULLY",
        "puid": "so-1",
    }


def test_a_person_makes_the_decision_partly_automated(blocked: ModerationResult) -> None:
    assert told(blocked, by_person=True)["automated_decision"] == "AUTOMATED_DECISION_PARTIALLY"


def test_illegal_content_names_the_law(moderate: Moderate) -> None:
    vision = ScriptedVision(shares={"a sword": 0.9})
    result = moderate(vision, policy=grounded(ILLEGAL), content_date="2026-03-01")
    made = told(result, source="SOURCE_ARTICLE_16")
    assert made["illegal_content_legal_ground"] == "Section 130"
    assert made["illegal_content_explanation"] == "It is forbidden."
    assert made["source_type"] == "SOURCE_ARTICLE_16"
    assert "incompatible_content_ground" not in made


def test_a_flag_labels_the_content_unless_the_label_says_otherwise(moderate: Moderate) -> None:
    vision = ScriptedVision(shares={"a sword": 0.9})
    for ground, visibility in (
        (AGAINST, "DECISION_VISIBILITY_CONTENT_LABELLED"),
        ({**AGAINST, "visibility": "DECISION_VISIBILITY_CONTENT_DEMOTED"}, "DECISION_VISIBILITY_CONTENT_DEMOTED"),
    ):
        result = moderate(vision, policy=grounded(ground, action="flag"), content_date="2026-03-01")
        assert told(result)["decision_visibility"] == [visibility]


def test_the_facts_name_what_was_found_and_quote_none_of_it(moderate: Moderate) -> None:
    result = moderate(
        ScriptedVision(), policy=grounded(AGAINST, TEXT), content_date="2026-03-01", text="Tel 017 555 123"
    )
    facts = told(result)["decision_facts"]
    assert "by its text (phone) in the post's text" in facts
    assert "555" not in facts


def test_the_facts_of_many_pictures_still_fit(moderate: Moderate) -> None:
    signals = [{"kind": "prompts", "prompts": ["a sword"], "against": [f"a spoon {n}"]} for n in range(20)]
    vision = ScriptedVision(shares={"a sword": 0.9})
    result = moderate(vision, images=16, policy=grounded(AGAINST, *signals), content_date="2026-03-01")
    assert len(told(result)["decision_facts"]) == MOST_FACTS


def test_a_correction_by_a_person_makes_a_statement_of_what_they_decided(moderate: Moderate) -> None:
    # given a doubt, of which no statement can be made
    doubt = moderate(ScriptedVision(shares={"a sword": 0.5}), policy=grounded(AGAINST), content_date="2026-03-01")
    with pytest.raises(InvalidRequest, match="nobody has decided yet"):
        told(doubt)
    # when a person blocks it
    blocked = doubt.model_copy(update={"decision": Decision.BLOCK})
    # then one can
    assert told(blocked, by_person=True)["decision_facts"].startswith("A person decided after an automated check")


@pytest.mark.parametrize(
    ("ground", "score", "more", "problem"),
    [
        (AGAINST, 0.1, {"content_date": "2026-03-01"}, "nothing is restricted"),
        (AGAINST, 0.9, {}, "hand in `content_date`"),
        (None, 0.9, {"content_date": "2026-03-01"}, "gives the label 'weapon' no `ground`"),
    ],
)
def test_what_is_missing_is_said(
    moderate: Moderate, ground: dict[str, Any] | None, score: float, more: dict[str, Any], problem: str
) -> None:
    result = moderate(ScriptedVision(shares={"a sword": score}), policy=grounded(ground), **more)
    with pytest.raises(InvalidRequest, match=problem):
        told(result)


def test_a_decision_that_rests_on_no_label_of_the_policy_makes_no_statement(blocked: ModerationResult) -> None:
    with pytest.raises(InvalidRequest, match="rests on no label"):
        told(blocked.model_copy(update={"label": None}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"decision_facts": "x" * 5001},
        {"decision_facts": ""},
        {"puid": "with blanks"},
        {"content_date": "1 March"},
        {"decision_visibility": ()},
        {"decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT"},
        {"category": "STATEMENT_CATEGORY_MADE_UP"},
        {"source_type": "SOURCE_RUMOUR"},
        {"territorial_scope": ("Germany",)},
    ],
)
def test_a_statement_that_the_database_would_refuse_cannot_be_made(
    blocked: ModerationResult, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        StatementOfReasons.model_validate({**told(blocked), **wrong})


def test_a_ground_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match="this one is illegal as it is"):
        Policy.model_validate(grounded({**ILLEGAL, "illegal_too": True}))
