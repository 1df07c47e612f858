"""The drawn scenes: the truth that they carry agrees with their pixels, and what is held out stays out."""

from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.training.worlds import backgrounds
from workers.training.worlds.objects import KINDS, PAIRS, SEEN, UNSEEN
from workers.training.worlds.palette import COLOURS, named, paint
from workers.training.worlds.scene_patches import COLOUR_LABELS, KIND_LABELS, UNSURE, patches
from workers.training.worlds.scenes import HELD_OUT_WORLD, TRAINING_WORLD, UNSEEN_WORLD, WORLDS, draw
from workers.training.worlds.symbols import SYMBOLS

seeds = st.integers(0, 2**31)
some = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize("side", [96, 112, 224])
def test_the_same_seed_draws_the_same_scene(side):
    one, again = draw(7, side=side), draw(7, side=side)
    assert one.pixels.shape == (side, side, 3)
    assert np.array_equal(one.pixels, again.pixels)
    assert [thing.box for thing in one.things] == [thing.box for thing in again.things]
    assert not np.array_equal(one.pixels, draw(8, side=side).pixels)


@given(seeds, st.sampled_from(sorted(WORLDS)))
@some
def test_a_box_is_the_bounds_of_what_was_drawn_within_the_picture_and_no_two_overlap(seed, world):
    # given
    scene = draw(seed, world=WORLDS[world])
    # then
    assert 1 <= len(scene.things) <= 5
    taken = np.zeros(scene.pixels.shape[:2], dtype=int)
    for thing in scene.things:
        rows, columns = np.flatnonzero(thing.mask.any(axis=1)), np.flatnonzero(thing.mask.any(axis=0))
        assert thing.box.xyxy == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        x0, y0, x1, y1 = map(int, thing.box.xyxy)
        taken[y0:y1, x0:x1] += 1
    assert taken.max() == 1


def test_a_thing_has_the_colour_that_its_name_says():
    # given things drawn in light and noise, and a middle of each colour's range
    middles = {name: np.median([paint(np.random.default_rng(n), name) for n in range(40)], axis=0) for name in COLOURS}
    told = Counter()
    for seed in range(80):
        scene = draw(seed, things=1)
        for thing in scene.things:
            if thing.colour:
                # when the nearest of those is looked for
                seen = np.median(scene.pixels[thing.mask], axis=0) / 255
                nearest = min(middles, key=lambda name: float(np.linalg.norm(middles[name] - seen)))
                told[nearest == thing.colour] += 1
    # then it is the thing's own, but for a few in deep shade
    assert told[True] / told.total() > 0.9


@pytest.mark.parametrize("name", COLOURS)
@given(seeds)
@some
def test_paint_lies_in_the_range_of_its_name_alone(name, seed):
    assert named(paint(np.random.default_rng(seed), name)) == name


@given(seeds)
@some
def test_no_unseen_pair_and_no_held_out_ground_is_ever_drawn_for_training(seed):
    scene = draw(seed, world=TRAINING_WORLD)
    assert not {thing.pair for thing in scene.things} & UNSEEN
    assert scene.ground in backgrounds.TRAINING
    assert scene.ground not in backgrounds.HELD_OUT


@given(seeds)
@some
def test_the_unseen_world_draws_nothing_but_unseen_pairs_on_held_out_grounds(seed):
    scene = draw(seed, world=UNSEEN_WORLD)
    assert {thing.pair for thing in scene.things} <= UNSEEN
    assert scene.ground in backgrounds.HELD_OUT


def test_every_kind_and_colour_is_learned_in_some_pair_and_missing_in_another():
    assert ("yellow", "horse") in UNSEEN
    assert len(UNSEEN) >= 16
    assert set(SEEN) | UNSEEN == set(PAIRS)
    for pairs in (SEEN, UNSEEN):
        assert {kind for _, kind in pairs} == set(KINDS)
        assert {colour for colour, _ in pairs} == set(COLOURS)


@given(seeds)
@some
def test_a_patch_shows_the_thing_that_covers_it(seed):
    # given
    scene = draw(seed)
    shown = patches(scene, 16)
    # then
    for row in range(7):
        for column in range(7):
            kind, colour = (int(labels[row * 7 + column]) for labels in (shown.kinds, shown.colours))
            window = np.s_[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            covers = [float(thing.mask[window].mean()) for thing in scene.things]
            owner = scene.things[int(np.argmax(covers))]
            if max(covers) > 0.3:
                assert KIND_LABELS[kind] == owner.kind
                assert colour == UNSURE if not owner.colour else COLOUR_LABELS[colour] == owner.colour
                corners = (owner.box.x0, owner.box.y0, owner.box.x1, owner.box.y1)
                assert np.allclose(112 * shown.boxes[row * 7 + column], corners, atol=1e-3)
            if max(covers) == 0:
                assert kind == colour == 0
                assert np.isnan(shown.boxes[row * 7 + column]).all()


@pytest.mark.parametrize("name", SYMBOLS)
def test_a_symbol_is_drawn_where_its_box_is_alone_and_among_things(name):
    for count in (1, 3):
        scene = draw(5, world=HELD_OUT_WORLD, things=count, wanted=[("", name)])
        assert (scene.things[0].kind, scene.things[0].colour) == (name, "")
        assert scene.things[0].box.width * scene.things[0].box.height > 150


def test_a_large_qr_code_can_be_read():
    # given codes that fill a picture, tilted a little
    drawn = [draw(seed, side=448, things=1, wanted=[("", "QR code")]).pixels for seed in range(12)]
    # when OpenCV's reader looks at them
    read = [cv2.QRCodeDetector().detectAndDecode(pixels)[0] for pixels in drawn]
    # then it reads what is said in most of them
    assert sum(bool(text) for text in read) >= 6
