import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.geometry import Polygon
from workers.imaging.palette import palette
from workers.training.worlds.signboards import Board, Weather, photograph


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def sign(ink, ground, *, face="sans-bold", turn=0.0, weather=None):
    board = Board(lines=(("Prohibido el paso", 30),), ink=ink, ground=ground, face=face, turn=turn)
    pixels, (written,) = photograph([board], (480, 160), weather or Weather(blur=0.5, noise=3), seed=1)
    return pixels, Polygon(points=written.quad)


@pytest.mark.parametrize("turn", [0, -12, 25])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ((250, 250, 250), (20, 70, 150)),
        ((20, 20, 20), (245, 200, 30)),
        ((190, 20, 30), (250, 250, 245)),
        ((240, 250, 240), (0, 120, 70)),
    ],
)
def test_ink_and_ground_are_told_apart_on_light_and_dark_signs(ink, ground, turn):
    pixels, quad = sign(ink, ground, turn=turn)

    found = palette(pixels, quad)

    assert np.abs(rgb(found.foreground) - ink).max() <= 30
    assert np.abs(rgb(found.background) - ground).max() <= 12


def test_thin_letters_keep_their_colour():
    pixels, quad = sign((30, 30, 30), (235, 235, 230), face="sans")

    found = palette(pixels, quad)

    assert rgb(found.foreground).max() < 90
    assert rgb(found.background).min() > 220


def test_an_even_region_is_ground_and_its_ink_can_be_read():
    pixels = np.full((40, 80, 3), (10, 20, 30), np.uint8)

    found = palette(pixels, Polygon(points=((5, 5), (70, 5), (70, 30), (5, 30))))

    assert (found.foreground, found.background) == ("#ffffff", "#0a141e")


points = st.tuples(st.floats(-50, 200), st.floats(-50, 200))


@settings(max_examples=60, deadline=None)
@given(st.lists(points, min_size=3, max_size=6), st.integers(0, 5))
def test_any_polygon_has_a_palette_even_outside_the_picture(corners, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 90, 3), np.uint8)

    found = palette(pixels, Polygon(points=tuple(corners)))

    assert found.foreground.startswith("#")


def test_a_region_of_one_pixel_has_a_palette():
    pixels = np.full((1, 1, 3), 255, np.uint8)

    found = palette(pixels, Polygon(points=((0, 0), (1, 0), (1, 1), (0, 1))))

    assert (found.foreground, found.background) == ("#000000", "#ffffff")
