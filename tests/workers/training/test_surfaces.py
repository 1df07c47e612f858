"""The drawn world is always the same, its masks fit, and what is held out stays out."""

import cv2
import numpy as np
import pytest

from workers.training.worlds.surfaces import CLASSES, HELD_OUT_TEXTURES, TRAINING_TEXTURES, draw

SMALL = (128, 128)


def test_the_same_seed_draws_the_same_surface() -> None:
    first, second = draw(7, size=SMALL), draw(7, size=SMALL)

    assert np.array_equal(first.pixels, second.pixels)
    assert [one.label for one in first.defects] == [one.label for one in second.defects]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(first.defects, second.defects, strict=True))


def test_another_seed_draws_another_surface() -> None:
    assert not np.array_equal(draw(7, size=SMALL).pixels, draw(8, size=SMALL).pixels)


@pytest.mark.parametrize("size", [(128, 128), (96, 160)])
def test_masks_have_the_pictures_size_and_never_overlap(size: tuple[int, int]) -> None:
    for seed in range(6):
        surface = draw(seed, size=size)

        assert surface.pixels.shape == (*size, 3)
        assert surface.pixels.dtype == np.uint8
        assert all(one.mask.shape == size and one.mask.dtype == bool and one.mask.any() for one in surface.defects)
        assert sum((one.mask.astype(int) for one in surface.defects), start=np.zeros(size, dtype=int)).max() <= 1


def test_what_is_held_out_is_never_trained_on() -> None:
    assert not set(TRAINING_TEXTURES) & set(HELD_OUT_TEXTURES)
    assert {draw(seed, defects=0, size=(32, 32)).texture for seed in range(60)} == set(TRAINING_TEXTURES)
    held = {draw(seed, defects=0, size=(32, 32), textures=HELD_OUT_TEXTURES).texture for seed in range(30)}
    assert held == set(HELD_OUT_TEXTURES)


def test_some_surfaces_are_clean_and_all_classes_occur() -> None:
    surfaces = [draw(seed, size=(48, 48)) for seed in range(50)]

    assert {one.label for surface in surfaces for one in surface.defects} == set(CLASSES)
    assert 0 < sum(not surface.defects for surface in surfaces) < 20


@pytest.mark.parametrize("label", CLASSES)
def test_a_defect_is_seen_against_its_surroundings(label: str) -> None:
    for seed in range(3):
        surface = draw(seed, size=(128, 128), defects=1, classes=(label,))
        mask = surface.defects[0].mask
        around = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool) & ~mask
        inside, outside = (surface.pixels[where].mean(axis=0) for where in (mask, around))

        assert np.abs(inside - outside).max() > 8


def test_the_number_of_defects_can_be_asked_for() -> None:
    assert len(draw(3, size=SMALL, defects=3).defects) == 3
    assert draw(3, size=SMALL, defects=0).defects == ()
