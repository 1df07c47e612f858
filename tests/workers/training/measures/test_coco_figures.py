"""COCO's figures are those that can be worked out by hand, and those that were published."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from domain.errors import InvalidRequest
from domain.geometry import Box
from domain.vision import Detection
from workers.training.eval_cli import app
from workers.training.measures import coco_figures
from workers.training.measures.boxes import Scene, Thing, average_precision
from workers.training.measures.coco_figures import NAMES, Shape, figures
from workers.training.measures.coco_files import read_results, read_truth

DATA = os.environ.get("SIGHTLINE_TEST_DATA")
SIDE = 100

TRUTH = {
    "images": [{"id": 1, "height": SIDE, "width": SIDE}],
    "categories": [{"id": 1, "name": "scratch"}, {"id": 2, "name": "pit"}],
    "annotations": [
        {"id": 0, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "area": 400},
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [50, 50, 20, 20], "area": 400},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 60, 10, 10], "area": 100},
    ],
}


def result(category: int, bbox: list[float], score: float, **more: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": category, "bbox": bbox, "score": score, **more}


RESULTS = [
    result(1, [0, 0, 20, 20], 0.9),
    result(1, [70, 0, 20, 20], 0.8),  # there is nothing
    result(1, [50, 50, 20, 20], 0.7),
    result(2, [0, 60, 10, 4], 0.9),  # four tenths of the pit
]
OF_SCRATCHES = (51 * 1 + 50 * 2 / 3) / 101
"""Recall 0 to 0.5 at precision 1, beyond at 2/3, on 101 points."""


def write(folder: Path, name: str, content: Any) -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def judge(folder: Path, truth: Any, results: Any, shape: Shape = Shape.BBOX, *ious: float) -> dict[str, float]:
    known = read_truth(write(folder, "truth.json", truth), shape)
    return figures(known, read_results(write(folder, "results.json", results), known, shape), shape, ious)


def test_the_twelve_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    told = judge(tmp_path, TRUTH, RESULTS)

    assert tuple(told) == NAMES
    for name in ("AP", "AP50", "AP75", "APsmall"):
        assert told[name] == pytest.approx(OF_SCRATCHES / 2)
    assert told["AR1"] == pytest.approx((0.5 + 0) / 2)
    assert told["AR100"] == pytest.approx((1 + 0) / 2)
    assert told["APmedium"] == told["ARlarge"] == -1


def test_a_looser_iou_takes_what_overlaps_by_less(tmp_path: Path) -> None:
    told = judge(tmp_path, TRUTH, RESULTS, Shape.BBOX, 0.33, 0.45)

    assert told["AP33"] == pytest.approx((OF_SCRATCHES + 1) / 2)
    assert told["AP45"] == pytest.approx(OF_SCRATCHES / 2)


def test_polygons_and_runs_compressed_and_not_are_the_same_mask(tmp_path: Path) -> None:
    polygon = [[0.0, 0.0, 20.0, 0.0, 20.0, 20.0, 0.0, 20.0]]
    numbers = {"size": [SIDE, SIDE], "counts": [0, *[20, 80] * 19, 20, 80 + SIDE * 80]}
    letters = {"size": [SIDE, SIDE], "counts": "0d0`2" + "0" * 37 + "Pj7"}
    truth = {**TRUTH, "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": letters}]}

    for shape in (polygon, numbers, letters):
        told = judge(tmp_path, truth, [result(1, [0, 0, 20, 20], 0.9, segmentation=shape)], Shape.SEGM)
        assert told["AP"] == told["AP75"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("truth", "results", "told"),
    [
        ("{", [], r"truth\.json: .*JSON"),
        ({**TRUTH, "images": []}, [], r"truth\.json: images: "),
        ({**TRUTH, "images": TRUTH["images"] * 2}, [], r"truth\.json gives one image id to several"),
        (
            {**TRUTH, "annotations": [{"image_id": 1, "category_id": 9, "bbox": [0, 0, 1, 1]}]},
            [],
            r"annotations\[0\] names the category 9",
        ),
        (
            {**TRUTH, "annotations": [{"image_id": 7, "category_id": 1, "bbox": [0, 0, 1, 1]}]},
            [],
            r"annotations\[0\] names the image 7",
        ),
        ({**TRUTH, "annotations": [{"image_id": 1, "category_id": 1}]}, [], r"annotations\[0\] has no segmentation"),
        (TRUTH, {}, r"results\.json: .*list|array"),
        (TRUTH, [RESULTS[0], {**RESULTS[1], "score": None}], r"results\.json: \[1\]\.score: "),
        (TRUTH, '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": NaN}]', r"\[0\]\.score: .*finite"),
        (TRUTH, [{**RESULTS[0], "bbox": [0, 0, -1, 1]}], r"\[0\]\.bbox\[2\]: "),
        (TRUTH, [{**RESULTS[0], "image_id": 5}], r"results\.json: \[0\] names the image 5"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_place(tmp_path: Path, truth: Any, results: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        judge(tmp_path, truth, results)


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        (None, r"\[0\] has no segmentation"),
        ({"size": [SIDE, SIDE], "counts": "P" * 20}, r"\[0\]: the segmentation cannot be read: "),
        ({"size": [SIDE, 7], "counts": [7 * SIDE]}, r"run lengths are of \(100, 7\)"),
        ({"size": [SIDE, SIDE], "counts": [-1, 3]}, r"\[0\]: the segmentation cannot be read: "),
    ],
)
def test_a_mask_that_cannot_be_read_is_named(tmp_path: Path, segmentation: Any, told: str) -> None:
    truth = {**TRUTH, "annotations": []}

    with pytest.raises(InvalidRequest, match=told):
        judge(tmp_path, truth, [result(1, [0, 0, 20, 20], 0.9, segmentation=segmentation)], Shape.SEGM)


def test_one_run_gives_all_figures_and_those_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    class Counted(coco_figures.COCOeval_faster):  # type: ignore[misc]
        def evaluate(self) -> None:
            ran.append(1)
            super().evaluate()

    monkeypatch.setattr(coco_figures, "COCOeval_faster", Counted)
    box = Box(x0=0, y0=0, x1=20, y1=10)
    scene = Scene(SIDE, SIDE, [Thing("pit", box)], [Detection(label="pit", score=0.9, box=box)])

    told = average_precision([scene], ("pit", "dent"), ious=(0.33, 0.5))

    assert len(ran) == 1
    assert told.per_class["pit"] == pytest.approx({"AP": 1, "AP50": 1, "AP75": 1, "AP33": 1})
    assert set(told.per_class["dent"].values()) == {None}
    assert told.overall["AP33"] == pytest.approx(1)


def test_nothing_found_is_no_error(tmp_path: Path) -> None:
    assert judge(tmp_path, TRUTH, [])["AP"] == 0


def test_the_command_prints_nothing_but_the_figures(tmp_path: Path) -> None:
    truth, results = write(tmp_path, "truth.json", TRUTH), write(tmp_path, "results.json", RESULTS)

    done = CliRunner().invoke(app, ["coco", str(truth), str(results), "--iou", "0.33", "--json"])

    assert done.exit_code == 0
    assert list(json.loads(done.stdout)) == [*NAMES, "AP33"]


@pytest.mark.skipif(DATA is None, reason="needs SIGHTLINE_TEST_DATA, where the published sets lie")
@pytest.mark.parametrize(
    ("published", "truth", "results", "shape"),
    [
        ("bbox", "cocoapi/instances_val2014_100", "cocoapi/instances_val2014_fakebbox100_results", Shape.BBOX),
        ("segm", "cocoapi/instances_val2014_100", "cocoapi/instances_val2014_fakesegm100_results", Shape.SEGM),
        ("gt_dataset_bbox", "gt_dataset", "dt_dataset", Shape.BBOX),
    ],
)
def test_published_figures_are_met_to_six_digits(published: str, truth: str, results: str, shape: Shape) -> None:
    folder = Path(DATA or "") / "evalrefs"
    known = read_truth(folder / "dataset" / f"{truth}.json", shape)

    told = figures(known, read_results(folder / "dataset" / f"{results}.json", known, shape), shape)

    stats = json.loads((folder / "known_ap.json").read_text())["stats"]
    assert [round(value, 6) for value in told.values()] == stats[published]
