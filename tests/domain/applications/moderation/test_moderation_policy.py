"""What a policy may say, what follows another, and what may be asked for."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.applications.moderation.contract import APPLICATION
from domain.applications.moderation.policy import Policy, shipped, succeeds
from domain.errors import InvalidParameters
from tests.domain.applications.moderation.scripted import policy

LABEL: dict[str, Any] = policy()["labels"]["weapon"]
QUESTION = {"kind": "question", "question": "Is there a sword?", "options": ["yes", "no"], "means": ["yes"]}


def read(told: dict[str, Any]) -> Policy:
    return Policy.model_validate(told)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (policy(review=0.9, act=0.5), "review 0.9 is more than act 0.5"),
        (policy(review=0), "greater than 0"),
        ({"labels": {}}, "at least 1"),
        ({"labels": {"Weapon!": LABEL}}, "should match pattern"),
        (policy(retired_ids=["weapon"]), "'weapon' is retired and must not come again"),
        (policy(surfaces={"avatar": {"knife": {}}}), "surface 'avatar' names the label 'knife'"),
        (policy(routes=[{"name": "a", "queue": "q", "labels": ["knife"]}]), "rule 'a' names the label 'knife'"),
        (policy(routes=[{"name": "a", "queue": "q", "surfaces": ["x"]}]), "the policy's are: default"),
        (policy(routes=[{"name": "a", "queue": "restricted"}]), "is for matches of restricted banks alone"),
        (policy(routes=[{"name": "a", "queue": "q", "decisions": ["allow"]}]), "names the decision 'allow'"),
        (policy(routes=[{"name": "a", "queue": "q"}] * 2), "'a' is named twice"),
        (policy({"kind": "prompts", "prompts": ["a"], "against": ["a"]}), "stands on both sides"),
        (policy({"kind": "prompts", "prompts": ["a"], "against": []}), "at least 1"),
        (policy({**QUESTION, "means": ["maybe"]}), "'maybe' is none of the options"),
        (policy({**QUESTION, "means": ["yes", "no"]}), "one must mean neither"),
        (policy({**QUESTION, "abstains": ["yes"]}), "cannot both mean the label and be no answer"),
        (policy({**QUESTION, "options": ["yes", "yes"]}), "named twice"),
        (policy({"kind": "text"}), "names `contacts`, `phrases` or both"),
        (policy({"kind": "text", "phrases": ["..."]}), "has no letter or digit"),
        (policy({"kind": "codes"}), "or sets `any_code`"),
        (policy({"kind": "smell"}), "does not match any of the expected tags"),
        (policy(colour="red"), "Extra inputs"),
    ],
)
def test_a_policy_that_could_not_be_meant_is_refused_with_what_is_wrong(told: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        read(told)


def test_a_version_may_change_thresholds_and_retire_a_label() -> None:
    succeeds(read(policy()), read(policy(review=0.3)))
    succeeds(read({"labels": {"weapon": LABEL, "knife": LABEL}}), read(policy(retired_ids=["knife"])))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ({"labels": {"weapon": LABEL, "knife": LABEL}}, policy(), "'knife' is gone; put its id among `retired_ids`"),
        (policy(retired_ids=["knife"]), policy(), "'knife' must stay"),
        (policy(retired_ids=["knife"]), {"labels": {"weapon": LABEL, "knife": LABEL}}, "'knife' must stay"),
        (policy(), {"labels": {"weapon": {**LABEL, "title": "a toy"}}}, "was 'a weapon' and must not become 'a toy'"),
    ],
)
def test_an_id_is_never_used_for_something_else(old: dict[str, Any], new: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        succeeds(read(old), read(new))


def test_a_surface_changes_what_it_names_and_leaves_the_rest() -> None:
    strict = {"action": "escalate", "thresholds": {"review": 0.1, "act": 0.2}}
    told = read(policy(surfaces={"avatar": {"weapon": strict}, "shop": {"weapon": {"enabled": False}}}))
    assert told.on("default")["weapon"] == told.labels["weapon"]
    assert told.on("avatar")["weapon"].action == "escalate"
    assert told.on("avatar")["weapon"].signals == told.labels["weapon"].signals
    assert told.on("shop") == {}


def test_equal_policies_have_the_same_digest_and_others_another() -> None:
    assert read(policy()).digest == read(dict(reversed(policy(name="inline").items()))).digest
    assert read(policy()).digest != read(policy(review=0.41)).digest


def test_the_shipped_policies_are_policies_of_the_name_they_are_kept_under() -> None:
    assert "default" in shipped()
    for (kind, name), body in APPLICATION.shipped.items():
        assert kind == "policy"
        assert APPLICATION.kinds[kind].model_validate(body) == shipped()[name]
        assert shipped()[name].name == name


def test_each_label_that_ships_says_what_a_statement_of_reasons_needs() -> None:
    assert all(label.ground for told in shipped().values() for label in told.labels.values())


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"policy": policy(), "policy_version": 1}, "goes with the name of a policy"),
        ({"policy": policy(), "surface": "avatar"}, "no surface 'avatar'; there are: default"),
        ({"policy": "No Such Name"}, "policy"),
        ({"content_type": ["smell"]}, "content_type"),
        ({"content_date": "yesterday"}, "content_date"),
        ({"txt": "hi"}, "is not known here"),
    ],
)
def test_parameters_that_could_not_be_meant_are_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidParameters, match=problem):
        APPLICATION.parse(parameters)
