"""What is kept, drawn, told, asked of people and compared of a result."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.applications.application import BankMatch
from domain.applications.moderation.contract import APPLICATION
from domain.applications.moderation.result import ModerationResult
from domain.errors import ModelError
from domain.marks import BannerMark, BoxMark, PolygonMark
from tests.domain.applications.moderation.scripted import ScriptedBanks, ScriptedVision, policy

Moderate = Callable[..., ModerationResult]
TEXT = {"kind": "text", "contacts": ["phone"]}
CODES = {"kind": "codes", "any_code": True}
PROMPTS = {"kind": "prompts", "prompts": ["a sword"], "against": ["a spoon"]}


@pytest.fixture
def result(moderate: Moderate) -> ModerationResult:
    """A telephone number read surely, a code, half a sword, and a question that nobody could answer."""
    vision = ScriptedVision(
        shares={"a sword": 0.5},
        lines=[("call 017 555 123", 0.9), ("hello", 0.9)],
        said_by_codes=["x"],
        errors={"ask": ModelError("broken")},
    )
    question = {"kind": "question", "question": "A sword?", "options": ["yes", "no"], "means": ["yes"]}
    return moderate(vision, policy=policy(TEXT, CODES, PROMPTS, question))


@pytest.fixture
def restricted(moderate: Moderate) -> ModerationResult:
    """A number in a picture that comes near an entry of a restricted bank."""
    match = BankMatch(bank="secret", kind="pdq", value="f" * 64, distance=4, restricted=True)
    vision = ScriptedVision(lines=[("call 017 555 123", 0.9)])
    return moderate(vision, ScriptedBanks([match]), policy=policy(TEXT))


def test_reasons_come_the_most_severe_first_and_say_what_they_rest_on(result: ModerationResult) -> None:
    assert [(reason.rule, reason.outcome) for reason in result.reasons] == [
        ("label", "block"),
        ("label", "block"),
        ("grey-band", "review"),
        ("abstained" if result.failures[0].abstained else "failure", "review"),
    ]
    told = [reason.sentence for reason in result.reasons]
    assert told[0] == "'a weapon' by a code in picture 1, score 1.00; from 0.8 on it is block: code 'x'"
    assert told[1].endswith("in picture 1, score 0.90; from 0.8 on it is block: phone '017 555 123'")
    assert told[2].endswith("score 0.50; scores from 0.4 up to 0.8 are left to a person")
    assert told[3] == (
        "'a weapon' by the answer to a question could not be asked for in picture 1: model_error: broken"
    )


def test_what_counts_is_a_finding_with_its_place_and_without_its_words(result: ModerationResult) -> None:
    found = [(one.kind, one.score, one.box.xyxy, one.text) for one in APPLICATION.findings(result)]
    assert found == [
        ("weapon", 0.9, (10, 10, 50, 20), None),
        ("weapon", 1.0, (100, 20, 150, 70), None),
        ("weapon", 0.5, (0, 0, 200, 100), None),
    ]


def test_what_counts_is_drawn_in_the_colour_of_what_it_led_to(result: ModerationResult) -> None:
    drawn = APPLICATION.marks(result, 0)
    assert [mark.caption for mark in drawn if isinstance(mark, PolygonMark)] == ["QRCode"]
    assert [(mark.caption, mark.tone) for mark in drawn if isinstance(mark, BoxMark)] == [
        ("weapon 0.90", "bad"),
        ("weapon 1.00", "bad"),
    ]
    assert drawn[-1] == BannerMark(text="block: weapon (1 without an answer)", tone="bad")


def test_content_that_is_allowed_is_told_in_a_word_and_asks_nobody(moderate: Moderate) -> None:
    allowed = moderate(ScriptedVision(shares={"a sword": 0.1}), policy=policy())
    assert APPLICATION.headline(allowed) == "allow"
    assert APPLICATION.review(allowed) is None
    assert allowed.reasons == ()


def test_a_block_asks_nobody_unless_a_rule_of_the_policy_does(moderate: Moderate) -> None:
    vision = ScriptedVision(shares={"a sword": 0.9})
    route = {"name": "swords", "queue": "arms", "labels": ["weapon"], "priority": 3, "four_eyes": True}
    assert APPLICATION.review(moderate(vision, policy=policy())) is None
    assert APPLICATION.review(moderate(vision, policy=policy(routes=[route]))) is None
    need = APPLICATION.review(moderate(vision, policy=policy(routes=[{**route, "asks": True}])))
    assert need is not None
    assert (need.queue, need.priority, need.four_eyes, need.reasons) == ("arms", 3, True, ("label.weapon",))


def test_a_doubt_asks_somebody_and_says_why(moderate: Moderate) -> None:
    need = APPLICATION.review(moderate(ScriptedVision(shares={"a sword": 0.5}), policy=policy()))
    assert need is not None
    assert (need.queue, need.reasons, need.restricted) == ("grey-band", ("grey-band.weapon",), False)
    assert "score 0.50" in need.summary


def test_a_long_list_of_reasons_still_makes_a_short_summary(moderate: Moderate) -> None:
    need = APPLICATION.review(moderate(ScriptedVision(shares={"a sword": 0.5}), images=16, policy=policy()))
    assert need is not None
    assert len(need.summary) == 400


@pytest.mark.parametrize(
    ("conditions", "queue"),
    [
        ({"labels": ["weapon"]}, "mine"),
        ({"decisions": ["review"]}, "mine"),
        ({"decisions": ["block"]}, "grey-band"),
        ({"surfaces": ["avatar"]}, "grey-band"),
        ({"surfaces": ["default"], "labels": ["weapon"]}, "mine"),
        ({"banks": ["known"]}, "mine"),
        ({"banks": ["other"]}, "grey-band"),
        ({}, "mine"),
    ],
)
def test_a_rule_matches_when_each_of_its_conditions_holds(
    moderate: Moderate, conditions: dict[str, Any], queue: str
) -> None:
    told = policy(routes=[{"name": "r", "queue": "mine", **conditions}], surfaces={"avatar": {}})
    match = BankMatch(bank="known", kind="pdq", value="f" * 64, distance=4, restricted=False)
    need = APPLICATION.review(moderate(ScriptedVision(shares={"a sword": 0.5}), ScriptedBanks([match]), policy=told))
    assert need is not None
    assert need.queue == queue


def test_two_pairs_of_eyes_are_asked_for_where_a_label_wants_them(moderate: Moderate) -> None:
    told = policy()
    told["labels"]["weapon"]["four_eyes"] = True
    need = APPLICATION.review(moderate(ScriptedVision(shares={"a sword": 0.5}), policy=told))
    assert need is not None
    assert need.four_eyes


def test_of_a_restricted_result_nothing_is_told_where_others_look(restricted: ModerationResult) -> None:
    need = APPLICATION.review(restricted)
    assert need is not None
    assert (need.restricted, need.queue) == (True, "restricted")
    told = f"{need.summary} {need.reasons} {APPLICATION.headline(restricted)}"
    assert "secret" not in told
    assert "weapon" not in told
    assert APPLICATION.findings(restricted) == ()


def test_a_result_survives_being_stored(result: ModerationResult) -> None:
    assert ModerationResult.model_validate_json(result.model_dump_json()) == result


def test_a_result_that_ends_as_promised_has_no_mismatch(result: ModerationResult) -> None:
    promised = {
        "decision": "block",
        "label": "weapon",
        "bands": {"weapon": "applies"},
        "queue": "",
        "reads": ["017555123"],
        "codes": ["x"],
        "failures": 1,
    }
    assert APPLICATION.mismatches(result, promised) == []


@pytest.mark.parametrize(
    ("promised", "told"),
    [
        ({"decision": "allow"}, "the decision is block, expected allow ('a weapon' by a code"),
        ({"label": "other"}, "it rests on the label 'weapon', expected 'other'"),
        ({"queue": "arms"}, "the queue is '', expected 'arms'"),
        ({"bands": {"weapon": "below"}}, "the label 'weapon' is applies with a score of 1.000, expected below"),
        ({"bands": {"other": "below"}}, "there is no label 'other'; there are: weapon"),
        ({"reads": ["42"]}, "no match reads '42'; there are: "),
        ({"codes": []}, "the codes say ['x'], expected []"),
        ({"failures": 0}, "1 signals gave no answer, expected 0"),
        ({"colour": "red"}, "the expectation itself is malformed"),
    ],
)
def test_whatever_ends_otherwise_is_told_in_a_sentence(
    result: ModerationResult, promised: dict[str, Any], told: str
) -> None:
    (sentence,) = APPLICATION.mismatches(result, promised)
    assert sentence.startswith(told)
