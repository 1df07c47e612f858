"""The inspection samples that ship are the ones that the drawing gives, and they expect the truth of the drawing."""

import json

import pytest

from domain.applications.application import samples
from domain.applications.inspection.contract import APPLICATION
from workers.training.worlds.inspection_samples import BOARDS, PLANS, Plan, expected


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_a_sample_expects_what_the_recipe_says_of_the_drawing(plan: Plan) -> None:
    # given the sample that ships
    told = json.loads((APPLICATION.samples / f"{plan.name}.json").read_text("utf-8"))
    # when it is drawn anew
    shown = {name: view.shown() for name, view in zip(told["images"], plan.views, strict=True)}
    # then both say the same
    assert told["parameters"] == json.loads(json.dumps(plan.parameters))
    assert told["expect"] == expected(plan, shown)


def test_every_sample_that_ships_is_drawn() -> None:
    assert [sample.name for sample in samples(APPLICATION)] == sorted(plan.name for plan in PLANS)


def test_the_samples_show_each_verdict_and_each_kind_of_defect() -> None:
    promised = [sample.expect for sample in samples(APPLICATION)]
    assert {one["verdict"] for one in promised} == {"ACCEPT", "REJECT", "UNDECIDED", "REWORK"}
    assert {label for one in promised for label in one["classes"]} >= {"scratch", "pit", "stain", "crack", "inclusion"}


def test_boards_beside_their_references_are_accepted_refused_and_left_to_a_person() -> None:
    found = {
        plan.name: expected(plan, {f"{number}": view.shown() for number, view in enumerate(plan.views)})
        for plan in BOARDS
    }
    assert {name: one["verdict"] for name, one in found.items()} == {
        "board": "ACCEPT",
        "broken-board": "REJECT",
        "another-board": "UNDECIDED",
    }
    assert found["broken-board"]["classes"] == ["open", "short", "pin-hole"]
    assert found["another-board"]["rules"] == ["reference"]
