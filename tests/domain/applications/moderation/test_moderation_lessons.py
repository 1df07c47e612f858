"""What a confirmed moderation teaches: the label of a picture, where it is certain that the picture has it."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.applications.application import BankMatch, Lesson
from domain.applications.moderation.contract import APPLICATION
from domain.applications.moderation.result import Decision, ModerationResult
from domain.errors import ModelError
from tests.domain.applications.moderation.scripted import PROMPTS, ScriptedBanks, ScriptedVision, policy

Moderate = Callable[..., ModerationResult]
TEXT = {"kind": "text", "phrases": ["free pills"]}
SWORD = {"a sword": 0.9}


def taught(result: ModerationResult) -> tuple[Lesson, ...]:
    assert APPLICATION.lessons is not None
    return tuple(APPLICATION.lessons(result))


def test_the_picture_that_a_label_was_seen_in_has_that_label(moderate: Moderate) -> None:
    assert taught(moderate(ScriptedVision(shares=SWORD), policy=policy())) == (Lesson(image=0, label="weapon"),)


def test_a_doubt_teaches_once_a_person_has_corrected_it(moderate: Moderate) -> None:
    doubt = moderate(ScriptedVision(shares={"a sword": 0.5}), policy=policy())
    corrected = doubt.model_copy(update={"decision": Decision.BLOCK, "label": "weapon"})
    otherwise = doubt.model_copy(update={"decision": Decision.BLOCK, "label": "another"})

    assert (doubt.decision, taught(doubt), taught(otherwise)) == (Decision.REVIEW, (), ())
    assert taught(corrected) == (Lesson(image=0, label="weapon"),)


def test_what_was_allowed_teaches_nothing(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(shares={"a sword": 0.1}), policy=policy())
    assert (result.decision, taught(result)) == (Decision.ALLOW, ())


def test_which_of_two_pictures_a_person_meant_is_not_known(moderate: Moderate) -> None:
    assert taught(moderate(ScriptedVision(shares=SWORD), policy=policy(), images=2)) == ()


@pytest.mark.parametrize(
    ("vision", "more"),
    [
        (ScriptedVision(lines=[("free pills", 0.95)]), {}),
        (ScriptedVision(shares=SWORD, lines=[("free pills", 0.95)]), {}),
        (ScriptedVision(), {"text": "free pills"}),
    ],
)
def test_words_are_no_looks(moderate: Moderate, vision: ScriptedVision, more: dict[str, Any]) -> None:
    result = moderate(vision, policy=policy(PROMPTS, TEXT), **more)
    assert (result.decision, taught(result)) == (Decision.BLOCK, ())


def test_a_picture_with_two_labels_or_one_that_gave_no_answer_is_left_out(moderate: Moderate) -> None:
    told = policy()
    told["labels"]["blade"] = told["labels"]["weapon"]
    assert taught(moderate(ScriptedVision(shares=SWORD), policy=told)) == ()
    unread = ScriptedVision(shares=SWORD, errors={"read": ModelError("no")})
    assert taught(moderate(unread, policy=policy(PROMPTS, TEXT))) == ()


def test_what_is_for_few_eyes_teaches_nothing(moderate: Moderate) -> None:
    match = BankMatch(bank="closed", kind="pdq", value="0" * 64, distance=0, restricted=True)
    result = moderate(ScriptedVision(shares=SWORD), banks=ScriptedBanks([match]), policy=policy())
    assert (result.restricted, taught(result)) == (True, ())
