"""Laying a reference over a picture: known movements are found to a pixel, what shows something else is refused."""

import cv2
import numpy as np
import pytest

from domain.errors import RegistrationFailed
from tests.workers.imaging.boards import HEIGHT, WIDTH, Moved, board
from workers.imaging.registration import register

MOVEMENTS = [
    Moved(),
    Moved(dx=3, dy=-2),
    Moved(dx=0.5, dy=0.25),
    Moved(dx=25, dy=-18),
    Moved(turned=2),
    Moved(turned=-15, dx=10),
    Moved(turned=90),
    Moved(turned=180, dx=4, dy=4),
    Moved(enlarged=1.04, turned=1, dx=-5),
    Moved(enlarged=0.9, turned=25, dx=12, dy=9),
]


@pytest.mark.parametrize("moved", MOVEMENTS, ids=str)
def test_a_movement_is_found_to_a_pixel(moved: Moved) -> None:
    picture = board()

    found = register(picture, moved.shot(picture)).registration

    # where the picture's corners and middle lie in the reference
    points = np.array([[x, y] for x in (40, WIDTH - 40) for y in (40, HEIGHT - 40)] + [[WIDTH / 2, HEIGHT / 2]])
    matrix = moved.matrix(HEIGHT, WIDTH)
    there = points @ matrix[:, :2].T + matrix[:, 2]
    assert found.correlation > 0.97
    assert found.shift_px == pytest.approx(float(np.hypot(*(there[-1] - points[-1]))), abs=1)
    assert abs((found.rotation_deg - moved.turned + 180) % 360 - 180) < 0.3
    assert found.scale == pytest.approx(moved.enlarged, abs=0.01)


@pytest.mark.parametrize("moved", MOVEMENTS, ids=str)
def test_what_was_laid_over_lies_where_the_picture_lies(moved: Moved) -> None:
    picture = board()

    laid = register(picture, moved.shot(picture)).pixels

    assert laid.shape == picture.shape
    inside = np.abs(laid.astype(int) - picture)[40:-40, 40:-40]
    assert inside.mean() < 4  # 160 grey levels lie between trace and ground
    assert (inside > 80).mean() < 0.001


@pytest.mark.parametrize(("gain", "offset"), [(0.6, 0), (1.2, 10), (0.8, 40), (0.3, 5)])
def test_the_reference_takes_on_the_pictures_light(gain: float, offset: float) -> None:
    picture = board()
    darker = np.clip(picture * gain + offset, 0, 255).astype(np.uint8)

    laid = register(picture, Moved(dx=3, dy=1).shot(darker))

    assert laid.registration.shift_px == pytest.approx(np.hypot(3, 1), abs=0.5)
    assert np.abs(laid.pixels.astype(int) - picture)[20:-20, 20:-20].mean() < 3


def test_a_reference_of_another_resolution_is_brought_to_the_pictures() -> None:
    picture = board()
    larger = cv2.resize(picture, (WIDTH * 3 // 2, HEIGHT * 3 // 2), interpolation=cv2.INTER_CUBIC)

    laid = register(picture, np.asarray(larger, dtype=np.uint8))

    assert laid.registration.scale == pytest.approx(1.5, abs=0.02)
    assert np.abs(laid.pixels.astype(int) - picture).mean() < 5


def test_where_the_reference_does_not_reach_the_picture_stands_and_the_share_is_told() -> None:
    picture = board()

    laid = register(picture, picture[:, : WIDTH * 3 // 4])

    assert laid.registration.covered == pytest.approx(0.75, abs=0.02)
    beyond = np.s_[:, WIDTH * 3 // 4 + 4 :]
    assert np.array_equal(laid.pixels[beyond], picture[beyond])


def test_a_defect_stays_a_difference() -> None:
    picture = board()
    picture[100:112, 150:162] = 255 - picture[100:112, 150:162]

    laid = register(picture, Moved(dx=5, dy=3, turned=1).shot(board()))

    assert np.abs(laid.pixels.astype(int) - picture)[102:110, 152:160].mean() > 100


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_reference_of_another_board_is_refused(seed: int) -> None:
    with pytest.raises(RegistrationFailed, match=r"do not show the same|no part of the picture") as failed:
        register(board(), board(seed))
    assert not failed.value.retryable


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_refused(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)

    with pytest.raises(RegistrationFailed):
        register(board(), noise)


@pytest.mark.parametrize(("picture", "reference", "words"), [(0, 1, "reference"), (1, 0, "picture"), (1, 1, "picture")])
def test_an_even_picture_or_reference_is_refused_as_such(picture: int, reference: int, words: str) -> None:
    shown = (board(), np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8))

    with pytest.raises(RegistrationFailed, match=f"the {words} shows nothing"):
        register(shown[picture], shown[reference])


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 200), (7, 5), (8, 8192), (3, 4096)])
def test_a_picture_of_hardly_a_pixel_is_laid_under_itself_or_refused(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    tiny = rng.integers(0, 256, (*size, 3)).astype(np.uint8)

    try:
        laid = register(tiny, tiny)
    except RegistrationFailed:
        return
    assert laid.pixels.shape == tiny.shape


def test_neither_picture_nor_reference_is_changed() -> None:
    picture, reference = board(), Moved(dx=4).shot(board())
    before = picture.copy(), reference.copy()

    register(picture, reference)

    assert np.array_equal(picture, before[0])
    assert np.array_equal(reference, before[1])
