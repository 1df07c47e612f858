"""Where two pictures differ: spots are found, edges that are a little off are not."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.workers.imaging.boards import board
from workers.imaging.difference import candidates, difference

PICTURES = arrays(np.uint8, (9, 11, 3))


@given(PICTURES)
def test_a_picture_does_not_differ_from_itself(picture: np.ndarray) -> None:
    assert not difference(picture, picture, 1).any()


@given(PICTURES, PICTURES, st.integers(0, 2))
def test_it_is_the_same_from_either_side(one: np.ndarray, other: np.ndarray, tolerance: int) -> None:
    assert np.array_equal(difference(one, other, tolerance), difference(other, one, tolerance))


@given(PICTURES, PICTURES)
def test_without_tolerance_it_is_the_greatest_difference_of_the_colours(one: np.ndarray, other: np.ndarray) -> None:
    assert np.array_equal(difference(one, other, 0), np.abs(one.astype(int) - other).max(axis=2))


@given(PICTURES, PICTURES)
def test_more_tolerance_never_finds_more(one: np.ndarray, other: np.ndarray) -> None:
    assert (difference(one, other, 1) <= difference(one, other, 0)).all()


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 1), (-1, 1)])
def test_a_picture_shifted_by_the_tolerance_does_not_differ(dx: int, dy: int) -> None:
    picture = board()
    shifted = np.roll(picture, (dy, dx), axis=(0, 1))

    inside = np.s_[2:-2, 2:-2]
    assert not difference(picture, shifted, 1)[inside].any()
    assert difference(picture, shifted, 0)[inside].max() > 50


@pytest.mark.parametrize("level", [40, 200])
def test_what_is_missing_is_found_as_what_is_added(level: int) -> None:
    reference = np.full((40, 60, 3), 240 - level, dtype=np.uint8)
    picture = reference.copy()
    cv2.line(picture, (10, 20), (50, 20), (level,) * 3, 1)  # thinner than the tolerance

    for one, other in ((picture, reference), (reference, picture)):
        (spot,) = candidates(difference(one, other, 1), 48, 3)
        assert spot.box.xyxy == (10, 20, 51, 21)


def test_grey_pictures_are_compared_too() -> None:
    grey = board()[..., 0]
    bright = grey.copy()
    bright[50:60, 70:90] = 255

    (spot,) = candidates(difference(bright, grey, 1), 20, 3)

    assert spot.box.x0 >= 69
    assert spot.box.y1 <= 61


def test_spots_are_told_apart_weighed_and_small_ones_left_out() -> None:
    levels = np.zeros((30, 30), dtype=np.uint8)
    levels[2:4, 2:4] = 100
    levels[10:20, 10:20] = 60
    levels[25, 25] = 255
    levels[4, 4] = 100  # touches the first by a corner

    found = candidates(levels, 48, 3)

    assert [(one.box.xyxy, one.weight) for one in found] == [((10, 10, 20, 20), 6000), ((2, 2, 5, 5), 500)]
    assert candidates(levels, 48, 1)[-1].box.xyxy == (25, 25, 26, 26)
    assert candidates(levels, 254, 1)[0].weight == 255
