"""Windows about where a pair differs: every spot is shown, and what windows share is told once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ModelError, RegistrationFailed
from domain.geometry import Box
from domain.vision import Detection
from workers.imaging.registration import register
from workers.modelling import pairs
from workers.modelling.pairs import Pairs, Window, cut, joined, stacked, window_about, windows
from workers.training.worlds import circuits

HOW = Pairs(window=32, threshold=48, smallest=3)
SIZES = st.tuples(st.integers(1, 120), st.integers(1, 120))


def channels_of(levels: np.ndarray) -> np.ndarray:
    return np.dstack([levels, levels, levels])


def holds(window: Window, box: Box) -> bool:
    across = window.left <= box.x0 and box.x1 <= window.left + window.side
    return across and window.top <= box.y0 and box.y1 <= window.top + window.side


def detection(box: tuple[float, float, float, float], score: float = 0.9, label: str = "open") -> Detection:
    x0, y0, x1, y1 = box
    return Detection(label=label, score=score, box=Box(x0=x0, y0=y0, x1=x1, y1=y1))


@given(SIZES, st.lists(st.tuples(st.integers(0, 119), st.integers(0, 119), st.integers(2, 50)), max_size=8))
def test_every_spot_lies_in_a_window_with_what_is_around_it(
    size: tuple[int, int], spots: list[tuple[int, int, int]]
) -> None:
    levels = np.zeros(size, dtype=np.uint8)
    for x, y, side in spots:
        levels[y : y + side, x : x + side] = 200

    found = windows(channels_of(levels), HOW)

    for spot in pairs.candidates(levels, HOW.threshold, HOW.smallest):
        box = spot.box
        room = Box(
            x0=max(box.x0 - HOW.margin, 0),
            y0=max(box.y0 - HOW.margin, 0),
            x1=min(box.x1 + HOW.margin, size[1]),
            y1=min(box.y1 + HOW.margin, size[0]),
        )
        assert any(holds(window, room) for window in found)
    assert bool(found) == bool(pairs.candidates(levels, HOW.threshold, HOW.smallest))


@given(SIZES, st.floats(0, 120), st.floats(0, 120), st.floats(0, 90))
def test_a_window_stays_inside_a_picture_that_is_large_enough(
    size: tuple[int, int], x: float, y: float, longest: float
) -> None:
    window = window_about((x, y), longest, HOW, size)

    assert window.side >= max(HOW.window, longest)
    for start, length in ((window.left, size[1]), (window.top, size[0])):
        assert 0 <= start <= length - window.side if length >= window.side else start <= 0 <= start + window.side


@given(SIZES, st.integers(-40, 130), st.integers(-40, 130), st.sampled_from([16, 32, 48]))
def test_a_window_shows_the_picture_and_padding_beyond_it(
    size: tuple[int, int], left: int, top: int, side: int
) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
    window = Window(left=left, top=top, side=32)

    square = cut(picture, window, 32)

    rows, columns = np.mgrid[top : top + 32, left : left + 32]
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    assert np.array_equal(square[inside], picture[rows[inside], columns[inside]])
    assert (square[~inside] == (114, 114, 0)).all()
    assert cut(picture, window, side).shape == (side, side, 3)


def test_a_pair_of_other_sizes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"a picture of 9 × 8 and a reference of 8 × 9 pixels; lay the reference"):
        stacked(np.zeros((8, 9, 3), dtype=np.uint8), np.zeros((9, 8, 3), dtype=np.uint8), HOW)


def test_the_channels_are_picture_reference_and_difference() -> None:
    reference = np.full((20, 20, 3), 60, dtype=np.uint8)
    reference[:, 15:] = 162  # so that its range, 102 levels, is told by 255
    picture = reference.copy()
    picture[5:10, 5:10] = 100

    channels = stacked(picture, reference, HOW)

    assert channels[7, 7].tolist() == [100, 0, 100]
    assert channels[15, 5].tolist() == [0, 0, 0]
    assert channels[7, 17].tolist() == [255, 255, 0]


@pytest.mark.parametrize("light", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("seed", [5_010_013, 5_010_061])
def test_a_flaw_in_a_dim_picture_is_looked_at_like_one_in_a_bright_one(seed: int, light: float) -> None:
    pair = circuits.draw(seed, flaws=3)
    picture = (pair.picture * light).astype(np.uint8)

    found = windows(stacked(picture, register(picture, pair.reference).pixels, Pairs()), Pairs())

    assert len(pair.flaws) == 3
    for flaw in pair.flaws:
        assert any(holds(window, flaw.box) for window in found)


@pytest.mark.parametrize(("ground", "flaw"), [(180, 255), (100, 10), (60, 0)])
def test_what_is_brighter_or_darker_than_all_of_the_reference_differs_from_it(ground: int, flaw: int) -> None:
    reference = np.full((40, 40, 3), ground, dtype=np.uint8)
    reference[:, 20:] = 120 if ground != 100 else 180
    picture = reference.copy()
    picture[5:12, 5:12] = flaw

    assert len(windows(stacked(picture, reference, HOW), HOW)) == 1


def test_a_pair_that_shows_too_little_for_a_flaw_to_be_told_is_refused() -> None:
    dark = np.full((20, 20, 3), 3, dtype=np.uint8)
    dark[:, 10:] = 30

    with pytest.raises(RegistrationFailed, match="27 levels lie between"):
        stacked(dark, dark, HOW)


def test_a_pair_that_differs_everywhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "MOST_WINDOWS", 4)
    levels = np.zeros((400, 400), dtype=np.uint8)
    levels[::80, ::80] = levels[1::80, ::80] = levels[2::80, ::80] = 255

    with pytest.raises(RegistrationFailed, match="do not show the same"):
        windows(channels_of(levels), HOW)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60),
            st.integers(0, 60),
            st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20), st.floats(0.05, 1)), max_size=3),
        ),
        max_size=4,
    )
)
def test_what_is_joined_lies_in_the_picture_best_first_and_each_thing_once(
    told: list[tuple[int, int, list[tuple[float, float, float]]]],
) -> None:
    found = [
        (Window(left=x, top=y, side=32), [detection((a, b, a + 8, b + 8), score) for a, b, score in ones])
        for x, y, ones in told
    ]

    answer = joined(found, (100, 100), 0.4, 5)

    assert len(answer) <= 5
    assert [one.score for one in answer] == sorted((one.score for one in answer), reverse=True)
    for at, one in enumerate(answer):
        assert 0 <= one.box.x0 <= one.box.x1 <= 100
        assert all(pairs.iou(one.box, other.box) <= 0.4 for other in answer[:at])
    assert bool(answer) == any(ones for _, _, ones in told)


def test_a_thing_in_two_windows_is_told_once_and_its_neighbour_of_another_class_too() -> None:
    left, right = Window(left=0, top=0, side=32), Window(left=16, top=0, side=32)
    found = [
        (left, [detection((18, 10, 28, 20), 0.8), detection((18, 10, 28, 20), 0.3, "spur")]),
        (right, [detection((2, 10, 12, 20), 0.9)]),
    ]

    answer = joined(found, (64, 64), 0.4, 300)

    assert [(one.label, one.score, one.box.x0) for one in answer] == [("open", 0.9, 18), ("spur", 0.3, 18)]


def test_a_whole_box_goes_before_a_surer_one_that_its_window_cut_off() -> None:
    cutting, whole = Window(left=20, top=0, side=32), Window(left=0, top=0, side=32)
    found = [(cutting, [detection((0, 10, 8, 20), 0.9)]), (whole, [detection((12, 10, 28, 20), 0.6)])]

    (one,) = joined(found, (64, 64), 0.4, 300)

    assert (one.box.x0, one.score) == (12, 0.6)


def test_a_box_at_the_edge_of_the_picture_was_not_cut() -> None:
    window = Window(left=0, top=0, side=32)
    found = [(window, [detection((0, 0, 10, 10), 0.6), detection((2, 2, 12, 12), 0.5)])]

    (one,) = joined(found, (32, 32), 0.4, 300)

    assert one.score == 0.6
