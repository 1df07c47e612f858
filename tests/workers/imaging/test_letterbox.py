"""A picture in a square keeps its shape and is found again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.imaging.letterbox import PADDING, Fit, letterbox


def test_a_wide_picture_is_padded_above_and_below() -> None:
    square = letterbox(np.zeros((50, 100, 3), dtype=np.uint8), 64)

    assert square.shape == (64, 64, 3)
    assert (square[:16] == PADDING).all()
    assert (square[16:48] == 0).all()
    assert (square[48:] == PADDING).all()


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([64, 256, 640]))
def test_every_size_fits_the_square_and_touches_it_one_way(height: int, width: int, side: int) -> None:
    fit = Fit(height, width, side)
    rows, columns = fit.inner

    assert max(rows, columns) == side
    assert min(rows, columns) >= 1
    assert 0 <= fit.top <= side - rows
    assert 0 <= fit.left <= side - columns


def test_label_values_stay_what_they_are() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (37, 91), dtype=np.uint8) * 7

    assert set(np.unique(letterbox(labels, 64, padding=0, nearest=True))) == {0, 7}
