"""What another policy would have decided, from what was kept: the same as if it had been asked then, or not told."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.applications.application import BankMatch, NotKept
from domain.applications.moderation.contract import APPLICATION
from domain.applications.moderation.policy import Policy
from domain.applications.moderation.redeciding import redecided
from domain.applications.moderation.result import ModerationResult
from domain.errors import ModelError
from tests.domain.applications.moderation.scripted import PROMPTS, ScriptedBanks, ScriptedVision, policy

Moderate = Callable[..., ModerationResult]

QUESTION = {"kind": "question", "question": "A sword?", "options": ["yes", "no", "unclear"], "means": ["yes"]}
SIGNALS = (
    PROMPTS,
    {**QUESTION, "abstains": ["unclear"]},
    {"kind": "detect", "classes": ["knife"]},
    {"kind": "ground", "phrases": ["a sword"]},
    {"kind": "text", "contacts": ["link"], "phrases": ["free pills"]},
    {"kind": "codes", "contacts": ["link"]},
    {"kind": "banks"},
)
shares = st.floats(0, 1)
bounds = st.tuples(st.floats(0.06, 1), st.floats(0.06, 1)).map(sorted)
actions = st.sampled_from(["flag", "block", "escalate"])
texts = st.sampled_from(["", "free pills", "see shop.example/a", "hello"])


@st.composite
def policies(draw: st.DrawFn, signals: tuple[Mapping[str, Any], ...] = SIGNALS) -> dict[str, Any]:
    review, act = draw(bounds)
    chosen = draw(st.lists(st.sampled_from(signals), min_size=1, max_size=4, unique_by=str))
    return policy(*chosen, action=draw(actions), review=review, act=act)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[ScriptedVision, ScriptedBanks]:
    yes = draw(st.floats(0, 1))
    near = BankMatch(bank="known", kind="pdq", value="f" * 64, distance=4, restricted=draw(st.booleans()))
    vision = ScriptedVision(
        shares={"a sword": draw(shares)},
        options={"yes": yes, "no": (1 - yes) / 2, "unclear": (1 - yes) / 2},
        lines=[(draw(texts), draw(shares))],
        said_by_codes=[draw(texts)],
        objects=[("knife", draw(shares)), ("a sword", draw(shares))],
    )
    return vision, ScriptedBanks([near] if draw(st.booleans()) else [])


def told(result: ModerationResult) -> tuple[Any, ...]:
    return result.decision, result.label, result.reasons, result.labels, result.routing, result.restricted


@given(worlds(), policies(), policies(), texts)
def test_what_is_told_of_a_draft_is_what_it_would_have_decided(moderate: Moderate, world, was, draft, post) -> None:
    vision, banks = world
    then = moderate(vision, banks, policy=was, text=post)
    asked = APPLICATION.parse({"policy": was, "text": post})
    try:
        anew = redecided(then, asked, Policy.model_validate(was), Policy.model_validate(draft))
    except NotKept:
        return  # nothing is told where something else was looked for
    assert told(anew) == told(moderate(vision, banks, policy=draft, text=post))


@given(worlds(), policies(), bounds, actions)
def test_other_thresholds_and_actions_are_always_told(moderate: Moderate, world, was, bound, action) -> None:
    vision, banks = world
    (label,) = was["labels"].values()
    draft = policy(*label["signals"], action=action, review=bound[0], act=bound[1])
    anew = redecided(moderate(vision, banks, policy=was), *_asked(was, draft))
    assert told(anew) == told(moderate(vision, banks, policy=draft))


def _asked(was: dict[str, Any], draft: dict[str, Any]) -> tuple[Any, Policy, Policy]:
    return APPLICATION.parse({"policy": was}), Policy.model_validate(was), Policy.model_validate(draft)


@pytest.mark.parametrize(
    "rule",
    [
        {**PROMPTS, "prompts": ["a gun"]},
        {**PROMPTS, "model": "another"},
        {**QUESTION, "question": "A gun?"},
        {"kind": "detect", "classes": ["knife"]},
        {"kind": "ground", "phrases": ["a gun"]},
        {"kind": "codes", "any_code": True},
        {"kind": "text", "phrases": ["free pills"]},
    ],
    ids=lambda rule: rule["kind"],
)
def test_what_was_not_looked_for_is_not_told(moderate: Moderate, rule: dict[str, Any]) -> None:
    was = policy(PROMPTS, QUESTION)
    with pytest.raises(NotKept):
        redecided(moderate(ScriptedVision(), policy=was), *_asked(was, policy(rule)))


def test_other_phrases_are_looked_for_in_the_text_that_was_read(moderate: Moderate) -> None:
    was = policy({"kind": "text", "phrases": ["free pills"]})
    draft = policy({"kind": "text", "phrases": ["cheap watches"]})
    then = moderate(ScriptedVision(lines=[("Cheap watches", 0.95)]), policy=was)
    assert then.decision == "allow"
    assert redecided(then, *_asked(was, draft)).decision == "block"


@pytest.mark.parametrize("rule", [PROMPTS, {"kind": "detect", "classes": ["sabre"]}], ids=["error", "unknown class"])
def test_of_a_job_whose_signal_gave_no_answer_nothing_is_told(moderate: Moderate, rule: dict[str, Any]) -> None:
    was = policy(rule)
    then = moderate(ScriptedVision(errors={"classify": ModelError("broken")}), policy=was)
    with pytest.raises(NotKept, match="gave no answer then"):
        redecided(then, *_asked(was, policy(rule, action="flag")))


def test_a_surface_that_the_draft_does_not_have_is_not_told(moderate: Moderate) -> None:
    was = policy(PROMPTS, surfaces={"avatar": {}})
    with pytest.raises(NotKept, match="no surface 'avatar'"):
        redecided(moderate(ScriptedVision(), policy=was, surface="avatar"), *_asked(was, policy(PROMPTS)))
