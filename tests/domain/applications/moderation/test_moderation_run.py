"""What each kind of signal makes of what Vision answers, and what becomes of a signal that gives no answer."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.applications.application import BankMatch
from domain.applications.moderation.result import Band, Decision, ModerationResult
from domain.errors import InvalidParameters, ModelError, ModelUnavailable, RunStopped, StorageUnavailable
from domain.vision import Hashes
from tests.domain.applications.moderation.scripted import (
    KeptPolicies,
    ScriptedBanks,
    ScriptedVision,
    policy,
)

Moderate = Callable[..., ModerationResult]

QUESTION = {"kind": "question", "question": "A sword?", "options": ["yes", "no", "unclear"], "means": ["yes"]}
ABSTAINING = {**QUESTION, "abstains": ["unclear"]}
ENSEMBLE = {"kind": "prompts", "prompts": ["a sword", "a dagger"], "against": ["a spoon", "a fork"]}
DETECT = {"kind": "detect", "classes": ["knife"]}
POINT = {"kind": "ground", "phrases": ["a sword"]}
TEXT = {"kind": "text", "contacts": ["link", "phone"], "phrases": ["free pills"], "except_hosts": ["shop.example"]}
BANKS = {"kind": "banks"}


def match(bank: str = "known", *, restricted: bool = False) -> BankMatch:
    return BankMatch(bank=bank, kind="pdq", value="f" * 64, distance=4, restricted=restricted)


@pytest.mark.parametrize(
    ("score", "decision", "band"),
    [(0.39, "allow", "below"), (0.4, "review", "grey"), (0.79, "review", "grey"), (0.8, "block", "applies")],
)
def test_thresholds_belong_to_the_band_above_them(moderate: Moderate, score: float, decision: str, band: str) -> None:
    result = moderate(ScriptedVision(shares={"a sword": score}), policy=policy())
    assert (result.decision, result.labels[0].band) == (decision, band)


def test_shares_of_an_ensemble_are_added(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(shares={"a sword": 0.5, "a dagger": 0.4}), policy=policy(ENSEMBLE))
    assert result.labels[0].score == pytest.approx(0.9)


def test_of_scores_that_are_no_shares_the_greatest_counts(moderate: Moderate) -> None:
    alone = {"a sword": 0.7, "a dagger": 0.6, "a spoon": 0.1, "a fork": 0.1}
    result = moderate(ScriptedVision(shares=alone), policy=policy(ENSEMBLE))
    assert result.labels[0].score == pytest.approx(0.7)


def test_a_closed_question_counts_the_probability_of_the_options_that_mean_the_label(moderate: Moderate) -> None:
    vision = ScriptedVision(options={"yes": 0.85, "no": 0.1, "unclear": 0.05})
    result = moderate(vision, policy=policy(QUESTION))
    assert result.decision is Decision.BLOCK
    assert {option.name: option.score for option in result.readings[0].scores} == vision.options


def test_options_that_are_judged_each_by_itself_are_weighed_against_each_other(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(options={"yes": 0.9, "no": 0.9, "unclear": 0.0}), policy=policy(QUESTION))
    assert result.labels[0].score == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("rule", "options", "code"),
    [
        (ABSTAINING, {"yes": 0.1, "no": 0.2, "unclear": 0.7}, "unsure"),
        (QUESTION, {"yes": 0.05, "no": 0.1, "unclear": 0.1}, "unsure"),
        (QUESTION, {"yes": 0.1}, "no_options"),
        (QUESTION, {}, "no_options"),
    ],
)
def test_an_answer_that_is_none_goes_to_a_person(
    moderate: Moderate, rule: dict[str, Any], options: dict[str, float], code: str
) -> None:
    result = moderate(ScriptedVision(options=options), policy=policy(rule))
    assert result.decision is Decision.REVIEW
    assert [(failure.code, failure.abstained) for failure in result.failures] == [(code, True)]
    assert result.routing is not None
    assert result.routing.queue == "failures"


@pytest.mark.parametrize("rule", [DETECT, POINT])
def test_the_surest_object_that_is_wanted_counts(moderate: Moderate, rule: dict[str, Any]) -> None:
    name = "knife" if rule is DETECT else "a sword"
    result = moderate(ScriptedVision(objects=[(name, 0.6), ("spoon", 0.99), (name, 0.5)]), policy=policy(rule))
    assert (result.decision, result.labels[0].score) == (Decision.REVIEW, 0.6)
    assert [match.quote for match in result.readings[0].matches] == [name, name]


def test_a_class_that_the_detector_does_not_know_goes_to_a_person_and_hides_no_other(moderate: Moderate) -> None:
    rule = {"kind": "detect", "classes": ["knife", "axe"]}
    nothing = moderate(ScriptedVision(), policy=policy(rule))
    assert (nothing.decision, nothing.failures[0].code) == (Decision.REVIEW, "unknown_classes")
    knife = moderate(ScriptedVision(objects=[("knife", 0.9)]), policy=policy(rule))
    assert knife.decision is Decision.BLOCK


def test_text_counts_as_surely_as_it_was_read(moderate: Moderate) -> None:
    sure = moderate(ScriptedVision(lines=[("Tel 017 555 123", 0.95)]), policy=policy(TEXT))
    unsure = moderate(ScriptedVision(lines=[("Tel 017 555 123", 0.6)]), policy=policy(TEXT))
    assert (sure.decision, unsure.decision) == (Decision.BLOCK, Decision.REVIEW)


def test_a_phrase_over_two_lines_is_found_and_counts_as_its_less_sure_line(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(lines=[("get FR33", 0.9), ("pills now", 0.7)]), policy=policy(TEXT))
    (found,) = result.readings[0].matches
    assert (found.quote, found.reads, found.disguised, found.score) == ("FR33\npills", "free pills", True, 0.7)
    assert found.box is not None
    assert found.box.xyxy == (10, 10, 50, 40)


def test_the_posts_own_text_is_held_to_the_same_rules(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(), policy=policy(TEXT), text="free  Pills here")
    assert result.decision is Decision.BLOCK
    assert [(reading.image, reading.score) for reading in result.readings] == [(0, 0.0), (None, 1.0)]
    assert not result.readings[1].matches[0].disguised


def test_links_to_excepted_hosts_do_not_count(moderate: Moderate) -> None:
    for text, decision in (("see www.shop.example/a", "allow"), ("see shop.example.evil.com", "block")):
        assert moderate(ScriptedVision(), policy=policy(TEXT), text=text).decision == decision


@pytest.mark.parametrize(
    ("rule", "said", "decision"),
    [
        ({"contacts": ["link"]}, "https://a.example", "block"),
        ({"contacts": ["link"]}, "4006381333931", "allow"),
        ({"phrases": ["free pills"]}, "FREE PILLS", "block"),
        ({"any_code": True}, "4006381333931", "block"),
    ],
)
def test_codes_count_by_what_they_say(moderate: Moderate, rule: dict[str, Any], said: str, decision: str) -> None:
    result = moderate(ScriptedVision(said_by_codes=[said]), policy=policy({"kind": "codes", **rule}))
    assert result.decision == decision
    assert [code.text for code in result.codes] == [said]


def test_a_code_that_no_database_could_store_is_kept_readable(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(said_by_codes=["a\x00b"]), policy=policy({"kind": "codes", "any_code": True}))
    assert "\x00" not in result.model_dump_json()
    assert result.decision is Decision.BLOCK


def test_a_match_in_a_bank_counts_and_is_kept(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(), ScriptedBanks([match()]), policy=policy(BANKS))
    assert result.decision is Decision.BLOCK
    assert result.hashed[0].matches == (match(),)


def test_a_bank_that_the_label_does_not_name_does_not_count_for_it(moderate: Moderate) -> None:
    named = {**BANKS, "banks": ["other"]}
    assert moderate(ScriptedVision(), ScriptedBanks([match()]), policy=policy(named)).decision is Decision.ALLOW


@pytest.mark.parametrize(("unfit", "decision"), [("review", "review"), ("ignore", "allow")])
def test_a_picture_that_shows_too_little_for_pdq_goes_to_a_person_unless_the_policy_says_otherwise(
    moderate: Moderate, unfit: str, decision: str
) -> None:
    dim = Hashes(pdq="0" * 64, pdq_quality=49, phash="0" * 16)
    vision = ScriptedVision(seen_hashes=dim)
    assert moderate(vision, ScriptedBanks(), policy=policy({**BANKS, "unfit": unfit})).decision == decision


def test_without_banks_a_label_that_needs_them_goes_to_a_person(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(), policy=policy(BANKS))
    assert (result.decision, result.failures[0].code) == (Decision.REVIEW, "no_banks")


def test_a_match_in_a_restricted_bank_is_escalated_even_where_no_label_names_a_bank(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(), ScriptedBanks([match("csam", restricted=True)]), policy=policy())
    assert (result.decision, result.restricted) == (Decision.ESCALATE, True)
    assert result.routing is not None
    assert result.routing.queue == "restricted"


def test_a_picture_that_could_not_be_looked_up_goes_to_a_person_though_no_label_names_a_bank(
    moderate: Moderate,
) -> None:
    vision = ScriptedVision(errors={"hashes": ModelError("it cannot be hashed")})
    assert moderate(vision, ScriptedBanks(), policy=policy()).decision is Decision.REVIEW


@pytest.mark.parametrize(
    ("rule", "method"),
    [(ENSEMBLE, "classify"), (QUESTION, "ask"), (DETECT, "detect"), (POINT, "ground"), (TEXT, "read")],
)
def test_a_signal_that_fails_loses_none_of_the_rest(moderate: Moderate, rule: dict[str, Any], method: str) -> None:
    # given a signal that ends in an error and a code that is read all the same
    vision = ScriptedVision(errors={method: ModelError("it broke")}, said_by_codes=["x"])
    # when nothing else speaks against the content, a person decides
    alone = moderate(vision, policy=policy(rule, {"kind": "codes", "phrases": ["free pills"]}))
    assert alone.decision is Decision.REVIEW
    assert [(one.code, one.abstained) for one in alone.failures] == [("model_error", False)]
    # when the code does, it counts
    both = moderate(vision, policy=policy(rule, {"kind": "codes", "any_code": True}))
    assert both.decision is Decision.BLOCK
    assert len(both.failures) == 1


@pytest.mark.parametrize("error", [ModelUnavailable("away"), RunStopped("cancelled")])
def test_what_a_retry_can_help_and_a_stop_pass_through(moderate: Moderate, error: Any) -> None:
    with pytest.raises(type(error)):
        moderate(ScriptedVision(errors={"classify": error}), policy=policy())


def test_banks_that_cannot_be_read_are_no_banks_without_a_match(moderate: Moderate) -> None:
    with pytest.raises(StorageUnavailable):
        moderate(ScriptedVision(), ScriptedBanks(error=StorageUnavailable("away")), policy=policy())


def test_what_several_labels_need_is_asked_once(moderate: Moderate) -> None:
    label = policy(TEXT, DETECT, BANKS, {"kind": "codes", "any_code": True})["labels"]["weapon"]
    vision = ScriptedVision()
    moderate(vision, ScriptedBanks(), policy={"labels": {"a": label, "b": label}})
    assert sorted(vision.asked) == ["codes", "detect", "hashes", "read"]


def test_every_picture_is_looked_at(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(shares={"a sword": 0.9}), images=3, policy=policy())
    assert [reading.image for reading in result.readings] == [0, 1, 2]
    assert len(result.reasons) == 3


@pytest.mark.parametrize(
    ("flagged", "blocked", "decision"),
    [
        (0.5, 0.1, "review"),
        (0.9, 0.1, "flag"),
        (0.9, 0.5, "review"),
        (0.5, 0.5, "review"),
        (0.9, 0.9, "block"),
        (0.5, 0.9, "block"),
    ],
)
def test_a_doubt_about_a_block_is_more_than_a_flag_and_a_doubt_about_a_flag_is_less(
    moderate: Moderate, flagged: float, blocked: float, decision: str
) -> None:
    # given a label that flags and one that blocks
    mild = {"kind": "prompts", "prompts": ["a toy"], "against": ["a cup"]}
    labels = {
        "toy": policy(mild, action="flag")["labels"]["weapon"],
        "sword": policy({**mild, "prompts": ["a sword"], "against": ["a spoon"]})["labels"]["weapon"],
    }
    # when both are seen more or less surely
    result = moderate(ScriptedVision(shares={"a toy": flagged, "a sword": blocked}), policy={"labels": labels})
    # then what might be to be blocked is not published with a flag, and a sure flag does not wait
    assert result.decision == decision


def test_what_is_flagged_waits_for_a_person_where_something_failed(moderate: Moderate) -> None:
    vision = ScriptedVision(said_by_codes=["x"], errors={"classify": ModelError("broken")})
    told = policy({"kind": "codes", "any_code": True}, ENSEMBLE, action="flag")
    assert moderate(vision, policy=told).decision is Decision.REVIEW


def test_a_surface_has_its_own_thresholds(moderate: Moderate) -> None:
    told = policy(surfaces={"avatar": {"weapon": {"thresholds": {"review": 0.1, "act": 0.2}, "action": "escalate"}}})
    vision = ScriptedVision(shares={"a sword": 0.3})
    assert moderate(vision, policy=told).decision is Decision.ALLOW
    strict = moderate(vision, policy=told, surface="avatar")
    assert (strict.decision, strict.surface) == (Decision.ESCALATE, "avatar")


def test_a_kept_policy_decides_in_the_version_that_is_active_or_asked_for(moderate: Moderate) -> None:
    kept = KeptPolicies({"strict": [policy(review=0.1, act=0.2), policy()]})
    vision = ScriptedVision(shares={"a sword": 0.3})
    active = moderate(vision, kept=kept, policy="strict")
    older = moderate(vision, kept=kept, policy="strict", policy_version=1)
    assert (active.decision, active.policy.version) == (Decision.ALLOW, 2)
    assert (older.decision, older.policy.version, older.policy.digest) == (Decision.BLOCK, 1, f"{1:064x}")


def test_a_kept_policy_that_is_none_any_more_decides_nothing(moderate: Moderate) -> None:
    with pytest.raises(InvalidParameters, match="version 1 of the policy 'old' is none any more"):
        moderate(ScriptedVision(), kept=KeptPolicies({"old": [{"labels": {}}]}), policy="old")


def test_an_unknown_surface_or_policy_decides_nothing(moderate: Moderate) -> None:
    kept = KeptPolicies({"strict": [policy()]})
    with pytest.raises(InvalidParameters, match="no surface 'avatr'; there are: default"):
        moderate(ScriptedVision(), kept=kept, policy="strict", surface="avatr")
    with pytest.raises(InvalidParameters, match="there is no policy 'strikt' here; those that ship are: default"):
        moderate(ScriptedVision(), policy="strikt")
    with pytest.raises(InvalidParameters, match="version 7"):
        moderate(ScriptedVision(), policy="default", policy_version=7)


def test_a_label_without_any_reading_has_no_band(moderate: Moderate) -> None:
    result = moderate(ScriptedVision(errors={"classify": ModelError("broken")}), policy=policy())
    assert (result.labels[0].band, result.labels[0].score) == (Band.UNKNOWN, None)
