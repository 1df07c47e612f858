import json

import numpy as np
import pytest

from domain.applications.signs.contract import APPLICATION
from domain.geometry import Polygon
from workers.training.worlds.signboards import FACES, Board, Weather, photograph
from workers.training.worlds.signs_samples import PLANS, SIZE, draw

INK, GROUND = (250, 250, 250), (20, 60, 150)


def test_the_same_seed_draws_the_same_picture_and_another_seed_another():
    board = Board(lines=(("Salida 23", 30),), ink=INK, ground=GROUND, turn=5)

    (one, written), (same, again), (other, _) = (photograph([board], (240, 180), Weather(), seed) for seed in (1, 1, 2))

    assert np.array_equal(one, same)
    assert written == again
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("face", [*FACES, "embedded"])
@pytest.mark.parametrize(("turn", "tilt"), [(0, 0), (20, 0.2), (-35, -0.2)])
def test_a_line_stands_where_the_drawing_says(face, turn, tilt):
    board = Board(lines=(("HHHHH", 40), ("H", 40)), ink=INK, ground=GROUND, face=face, turn=turn, tilt=tilt)

    pixels, written = photograph([board], (400, 300), Weather(blur=0, noise=0), seed=3)

    white = (pixels > 200).all(axis=2)
    for line in written:
        quad = Polygon(points=line.quad)
        ys, xs = np.nonzero(white)
        inside = sum(quad.contains((x + 0.5, y + 0.5)) for x, y in zip(xs.tolist(), ys.tolist(), strict=True))
        assert inside > 0.15 * quad.area
    assert Polygon(points=written[0].quad).area > 3 * Polygon(points=written[1].quad).area


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_what_a_sample_expects_is_what_was_drawn(plan, tmp_path):
    draw(plan, tmp_path)

    drawn, shipped = (
        json.loads((folder / f"{plan.name}.json").read_text("utf-8")) for folder in (tmp_path, APPLICATION.samples)
    )
    assert drawn == shipped
    for region in shipped["expect"]["regions"]:
        assert all(0 <= x <= SIZE[0] and 0 <= y <= SIZE[1] for x, y in region["quad"])
