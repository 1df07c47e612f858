import json

import cv2
import numpy as np
import pytest

from domain.errors import InvalidRequest
from workers.labelled import LabelledDraft, read_lines
from workers.training.measures.drafts import Told
from workers.training.measures.told_findings import told_findings
from workers.training.worlds.phantom_anatomy import LAYOUTS, SIDES
from workers.training.worlds.phantom_findings import FINDINGS, PAINTERS
from workers.training.worlds.phantom_sets import write
from workers.training.worlds.phantoms import HELD_OUT_LAYOUTS, TRAINING_LAYOUTS, draw


def test_the_same_seed_draws_the_same_phantom_and_another_seed_another():
    one, same, other = draw(1), draw(1), draw(2)

    assert np.array_equal(one.pixels, same.pixels)
    assert (one.findings, one.report, one.layout) == (same.findings, same.report, same.layout)
    assert not np.array_equal(one.pixels, other.pixels)


def test_a_phantom_is_grey_and_of_the_size_that_was_asked():
    assert draw(3, size=160).pixels.shape == (160, 160)
    assert draw(3, size=160).pixels.dtype == np.uint8


def test_held_out_layouts_are_never_trained_on():
    assert not set(TRAINING_LAYOUTS) & set(HELD_OUT_LAYOUTS)
    assert {draw(seed, size=64).layout for seed in range(60)} == set(TRAINING_LAYOUTS)
    assert {*TRAINING_LAYOUTS, *HELD_OUT_LAYOUTS} == LAYOUTS.keys()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", PAINTERS)
def test_the_pixels_that_a_finding_changes_are_those_of_its_box(name, side):
    for seed in range(6):
        with_it, without = draw(seed, findings=[(name, side)]), draw(seed, findings=[])
        (finding,) = with_it.findings
        ys, xs = np.nonzero(np.abs(with_it.pixels.astype(int) - without.pixels) > 12)
        x0, y0, x1, y1 = finding.box
        within = (xs >= x0 - 4) & (xs <= x1 + 4) & (ys >= y0 - 4) & (ys <= y1 + 4)

        assert len(xs) > 15
        assert within.mean() > 0.98
        assert xs.max() - xs.min() > 0.5 * (x1 - x0)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["nodule", "pleural effusion", "pneumothorax"])
def test_the_patients_left_is_on_the_right_of_the_picture(name, side):
    for seed in range(6):
        (finding,) = draw(seed, findings=[(name, side)]).findings
        middle = (finding.box[0] + finding.box[2]) / 2

        assert finding.side == side
        assert (middle > 112) == (side == "left")


def test_water_and_a_nodule_are_brighter_than_lung_and_air_is_darker():
    for name, brighter in (("nodule", True), ("pleural effusion", True), ("pneumothorax", False)):
        with_it, without = draw(5, findings=[(name, "right")]), draw(5, findings=[])
        change = (with_it.pixels.astype(int) - without.pixels)[np.abs(with_it.pixels.astype(int) - without.pixels) > 12]

        assert (np.median(change) > 0) == brighter


def test_a_heart_is_enlarged_only_where_it_is_told():
    for seed in range(10):
        large = draw(seed, findings=[("cardiomegaly", "left")])
        (finding,) = large.findings

        assert finding.measure >= 0.54
        assert finding.side == ""
        assert np.abs(large.pixels.astype(int) - draw(seed, findings=[]).pixels).max() > 25


def test_a_report_tells_what_was_painted_and_nothing_else():
    for seed in range(150):
        phantom = draw(seed, size=64)

        told = told_findings(phantom.report, FINDINGS)
        assert told == {Told(one.name, one.side) for one in phantom.findings}, phantom.report


def test_a_chest_of_four_is_normal_and_each_finding_is_met_on_both_sides():
    phantoms = [draw(seed, size=64) for seed in range(300)]
    met = {(one.name, one.side) for phantom in phantoms for one in phantom.findings}

    assert 0.18 < sum(not phantom.findings for phantom in phantoms) / len(phantoms) < 0.33
    assert met == {(name, side) for name in PAINTERS for side in SIDES} | {("cardiomegaly", "")}


def test_a_nodule_is_not_hidden_behind_water_or_air():
    for seed in range(300):
        sides = {one.name: one.side for one in draw(seed, size=64).findings}
        assert not {"pneumothorax", "pleural effusion"} <= sides.keys()
        for hides in ("pneumothorax", "pleural effusion"):
            assert "nodule" not in sides or sides.get(hides) != sides["nodule"]


def test_a_set_is_written_as_lines_of_drafts_that_a_training_reads(tmp_path):
    file = write(tmp_path / "set", 3, 20, HELD_OUT_LAYOUTS, size=64)

    lines = read_lines(file)
    told = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert all(isinstance(line, LabelledDraft) for line in lines)
    assert [one["answer"] for one in told] == [draw(seed, layouts=HELD_OUT_LAYOUTS).report for seed in (20, 21, 22)]
    assert {one["layout"] for one in told} <= set(HELD_OUT_LAYOUTS)
    assert cv2.imread(str(tmp_path / "set" / told[0]["image"]), cv2.IMREAD_GRAYSCALE).shape == (64, 64)
    with pytest.raises(InvalidRequest, match="exists already"):
        write(tmp_path / "set", 3, 20, HELD_OUT_LAYOUTS)
