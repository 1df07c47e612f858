"""Arrays and run lengths say the same."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workers.imaging.masks import decode, encode, encode_within, sample

SIDES = st.integers(1, 12)
MASKS = arrays(np.bool_, st.tuples(SIDES, SIDES))


@given(MASKS)
def test_a_mask_survives_encoding_and_decoding(bits: npt.NDArray[np.bool_]) -> None:
    assert np.array_equal(decode(encode(bits)), bits)


@given(MASKS)
def test_runs_agree_with_the_array_on_area_and_box(bits: npt.NDArray[np.bool_]) -> None:
    mask = encode(bits)

    assert mask.area == bits.sum()
    if bits.any():
        rows, columns = np.nonzero(bits)
        assert mask.box.xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_runs_go_down_the_columns_and_start_with_the_ground() -> None:
    bits = np.array([[1, 0, 0], [1, 1, 0]], dtype=bool)

    assert encode(bits).counts == (0, 2, 1, 1, 2)


@given(MASKS, st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_a_part_is_encoded_as_the_whole_would_be(
    bits: npt.NDArray[np.bool_], above: int, left: int, below: int, right: int
) -> None:
    whole = np.pad(bits, ((above, below), (left, right)))

    assert encode_within(bits, whole.shape, above, left) == encode(whole)


def test_a_part_that_reaches_out_of_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="reaches out"):
        encode_within(np.ones((3, 3), dtype=bool), (4, 4), 2, 0)


def test_an_array_of_three_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match="two dimensions"):
        encode(np.zeros((2, 2, 2), dtype=bool))


def test_sampling_between_two_values_gives_their_weighted_mean_and_beyond_the_edge_the_edge() -> None:
    field = np.array([[0.0, 1.0], [2.0, 3.0]], dtype=np.float32)

    values = sample(field, np.array([0.5]), np.array([-3.0, 0.25, 9.0]))

    assert values.tolist() == [[1.0, 1.25, 2.0]]
