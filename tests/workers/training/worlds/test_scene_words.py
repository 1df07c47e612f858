"""What is said of drawn scenes and asked about them is true, and never speaks of what is held out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.training.worlds.objects import KINDS, UNSEEN
from workers.training.worlds.scene_questions import questions
from workers.training.worlds.scene_words import NUMBERS, altered, caption, facts, names, phrases, with_article
from workers.training.worlds.scenes import TRAINING_WORLD, UNSEEN_WORLD, draw

seeds = st.integers(0, 2**31)
some = settings(max_examples=60, deadline=None)


@given(seeds)
@some
def test_a_caption_claims_what_is_true_of_its_scene_and_an_altered_one_what_is_not_the_thing(seed):
    rng, scene = np.random.default_rng(seed), draw(seed)
    assert caption(rng, scene).claim <= facts(scene)
    assert scene.things[0].name not in altered(rng, scene.things[0], TRAINING_WORLD).claim


def test_an_altered_caption_differs_in_one_word():
    rng, scene = np.random.default_rng(0), draw(0, things=1, wanted=[("red", "fish")])
    for _ in range(50):
        (claim,) = altered(rng, scene.things[0], TRAINING_WORLD).claim
        colour, kind = claim.split(" ")
        assert (colour == "red") != (kind == "fish")


@given(seeds)
@some
def test_nothing_said_or_asked_for_training_speaks_of_an_unseen_pair(seed):
    # given
    rng, scene = np.random.default_rng(seed), draw(seed)
    # when
    said = [caption(rng, scene).text for _ in range(5)]
    said += [altered(rng, thing, TRAINING_WORLD).text for thing in scene.things]
    said += [question.question for question in questions(rng, scene, TRAINING_WORLD)]
    # then
    unseen = [f"{colour} {kind}" for colour, kind in UNSEEN] + [f"{c} {KINDS[kind].plural}" for c, kind in UNSEEN]
    assert not [text for text in said for name in unseen if f" {name} " in f" {text.rstrip('.?')} "]


def _asked(scene, seed, kind):
    found = questions(np.random.default_rng(seed), scene, TRAINING_WORLD)
    return [question for question in found if question.kind == kind]


@given(seeds)
@some
def test_each_answer_is_among_its_options(seed):
    scene = draw(seed)
    asked = questions(np.random.default_rng(seed), scene, TRAINING_WORLD)
    assert asked
    for question in asked:
        assert question.answer in question.options
        assert len(set(question.options)) == len(question.options)


@given(seeds)
@some
def test_counts_colours_and_presence_are_those_of_the_scene(seed):
    scene = draw(seed)
    for question in _asked(scene, seed, "count"):
        counted = [n for n in range(1, 6) if NUMBERS[n] == question.answer]
        plural = question.question.removeprefix("How many ").removesuffix(" are there?")
        named = {thing.kind: KINDS[thing.kind].plural for thing in scene.things if thing.kind in KINDS}
        kinds = [thing.kind for thing in scene.things if named.get(thing.kind) == plural]
        assert not kinds or [len(kinds)] == counted
    for question in _asked(scene, seed, "colour"):
        kind = question.question.removeprefix("What colour is the ").removesuffix("?")
        assert [thing.colour for thing in scene.things if thing.kind == kind] == [question.answer]
    for question in _asked(scene, seed, "yes/no"):
        if question.question.startswith("Is there "):
            there = [f"Is there {with_article(thing.name)}?" for thing in scene.things]
            assert (question.question in there) == (question.answer == "yes")


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_positions_are_where_the_boxes_are(seed):
    scene = draw(seed, side=96)
    for question in _asked(scene, seed, "position"):
        kind = question.question.removeprefix("Is the ").split(" on the ")[0].split(" at the ")[0]
        (box,) = [thing.box for thing in scene.things if thing.kind == kind]
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        assert {"left": x < 48, "right": x > 48, "top": y < 48, "bottom": y > 48}[question.answer]


@given(seeds)
@some
def test_a_phrase_has_the_boxes_of_all_that_it_means(seed):
    scene = draw(seed)
    found = {phrase.text: phrase.boxes for phrase in phrases(scene)}
    for thing in scene.things:
        assert thing.box in found[thing.name]
        assert len(found[thing.kind]) == sum(other.kind == thing.kind for other in scene.things)


def test_the_names_of_a_world_are_those_that_it_may_draw():
    assert not set(names(TRAINING_WORLD)) & set(names(UNSEEN_WORLD))
    assert "yellow horse" in names(UNSEEN_WORLD)
    assert "QR code" in names(TRAINING_WORLD)
