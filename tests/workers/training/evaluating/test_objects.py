"""Figures say what they should of detectors whose answers are known."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.errors import InvalidRequest, ModelError
from domain.geometry import Box, Mask
from domain.vision import Capability, Detection, Grounding
from tests.workers.training.evaluating.scripted import SIDE, examinee, pictures
from workers.imaging.masks import encode
from workers.models.family import ScoreKind
from workers.training.coco import CocoCategory, Dataset, read
from workers.training.evaluating import scenes
from workers.training.evaluating.judged import Judged
from workers.training.evaluating.objects import Criteria, judge

CLASSES = ("dot", "bar")
Found = tuple[Detection, ...]


def _bits(index: int) -> Mask:
    bits = np.zeros((SIDE, SIDE), dtype=bool)
    bits[4 + index : 14 + index, 6:20] = True
    return encode(bits)


def _content(*, masks: bool) -> dict[str, Any]:
    """Four pictures with a defect, each with its own grey, and a clean one."""
    annotations = [
        {"id": index + 1, "image_id": index + 1, "category_id": index % 2 + 1, "bbox": [6, 4 + index, 14, 10]}
        for index in range(4)
    ]
    if masks:
        for index, one in enumerate(annotations):
            one["segmentation"] = {"size": [SIDE, SIDE], "counts": list(_bits(index).counts)}
    images = [{"id": index + 1, "file_name": f"{index}.png", "width": SIDE, "height": SIDE} for index in range(5)]
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write(folder: Path, *, masks: bool = True) -> Dataset:
    pictures(folder / "images", 5)
    (folder / "annotations.json").write_text(json.dumps(_content(masks=masks)))
    return read(folder)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write(tmp_path)


def truth(index: int) -> Found:
    if index == 4:
        return ()
    mask = _bits(index)
    return (Detection(label=CLASSES[index % 2], score=0.9, box=mask.box, mask=mask),)


def judged(dataset: Dataset, answer: Callable[[int], Any], criteria: Criteria | None = None, **more: Any) -> Judged:
    sitting = examinee(Capability.DETECT, answer=lambda number, ask: answer(number), classes=CLASSES, **more)
    return judge(sitting, dataset, criteria or Criteria())


def test_the_truth_scores_one(dataset: Dataset) -> None:
    told = judged(dataset, truth)

    for name in ("AP", "AP50", "AP75", "mask_AP", "mask_AP50", "precision", "recall", "f1", "mask_f1"):
        assert told.metrics[name] == pytest.approx(1), name
    assert told.metrics["false_alarms"] == 0
    assert (told.count, told.settings["objects"], told.settings["clean_pictures"]) == (5, 4, 1)
    assert {name: one["count"] for name, one in told.per_class.items()} == {"dot": 2, "bar": 2}
    assert all(case.badness == 0 for case in told.cases)


def test_silence_scores_nothing_and_each_object_is_missed(dataset: Dataset) -> None:
    told = judged(dataset, lambda index: ())

    assert told.metrics["AP50"] == told.metrics["mask_AP50"] == told.metrics["recall"] == 0
    assert told.metrics["precision"] is None
    assert [case.badness for case in told.cases] == [1, 1, 1, 1, 0]


def test_one_class_missed_halves_the_mean(dataset: Dataset) -> None:
    told = judged(dataset, lambda index: truth(index) if index % 2 == 0 else ())

    assert told.metrics["mask_AP50"] == pytest.approx(0.5)
    assert told.per_class["dot"]["mask_AP50"] == pytest.approx(1)
    assert told.per_class["bar"]["mask_AP50"] == 0


def test_a_right_box_around_a_wrong_mask_counts_as_box_alone(dataset: Dataset) -> None:
    def hollow(index: int) -> Found:
        return tuple(one.model_copy(update={"mask": encode(np.eye(SIDE, dtype=bool))}) for one in truth(index))

    told = judged(dataset, hollow)

    assert told.metrics["AP50"] == told.metrics["precision"] == pytest.approx(1)
    assert told.metrics["mask_AP50"] == told.metrics["mask_precision"] == 0


@pytest.mark.parametrize(("score", "alarms"), [(0.25, 1), (0.5, 0)])
def test_an_alarm_on_a_clean_picture_counts_from_its_score_on(dataset: Dataset, score: float, alarms: int) -> None:
    alarm = Detection(label="dot", score=0.3, box=Box(x0=0, y0=0, x1=5, y1=5))

    told = judged(dataset, lambda index: (alarm,) if index == 4 else truth(index), Criteria(score=score))

    assert told.metrics["false_alarms"] == alarms


def test_a_box_that_overlaps_by_less_counts_where_less_is_asked_for(tmp_path: Path) -> None:
    half = Box(x0=6, y0=4, x1=20, y1=8)  # four of ten rows of the first
    dataset = write(tmp_path, masks=False)

    def partly(index: int) -> Found:
        return (Detection(label="dot", score=0.9, box=half),) if index == 0 else truth(index)

    strict, loose = judged(dataset, partly), judged(dataset, partly, Criteria(iou=0.33))

    assert strict.metrics["recall"] == 0.75
    assert loose.metrics["recall"] == 1
    assert loose.metrics["AP33"] == pytest.approx(1)
    assert "AP33" not in strict.metrics
    assert "mask_AP" not in strict.metrics


def test_what_was_called_another_class_is_confused_with_it(dataset: Dataset) -> None:
    def swapped(index: int) -> Found:
        return tuple(one.model_copy(update={"label": "bar"}) for one in truth(index)) if index == 0 else truth(index)

    told = judged(dataset, swapped)

    assert told.confusion is not None
    assert told.confusion.rows[:2] == CLASSES
    assert told.confusion.counts[:2, :2].tolist() == [[1, 1], [0, 2]]


def test_scores_that_are_too_sure_are_badly_calibrated(dataset: Dataset) -> None:
    def sure(index: int) -> Found:
        return truth(index) if index < 2 else (Detection(label="dot", score=0.9, box=Box(x0=30, y0=30, x1=35, y1=35)),)

    told, untold = judged(dataset, sure, kind=ScoreKind.SIGMOID), judged(dataset, sure, kind=ScoreKind.NONE)

    assert told.metrics["calibration_error"] == pytest.approx(0.9 - 2 / 5)
    assert "calibration_error" not in untold.metrics


def test_a_picture_that_the_model_fails_on_shows_it_nothing(dataset: Dataset) -> None:
    told = judged(dataset, lambda index: ModelError("no") if index == 1 else truth(index))

    assert told.metrics["recall"] == 0.75
    assert told.metrics["failed"] == 0.2


def test_a_picture_that_cannot_be_read_fails_alone(dataset: Dataset) -> None:
    dataset.path(dataset.content.images[1]).write_bytes(b"cut off")

    told = judged(dataset, truth)

    assert (told.metrics["recall"], told.metrics["failed"]) == (0.75, 0.2)


def test_a_picture_of_another_size_than_the_set_says_is_refused(dataset: Dataset) -> None:
    first, *rest = dataset.content.images
    images = (first.model_copy(update={"width": 2 * SIDE}), *rest)
    other = replace(dataset, content=dataset.content.model_copy(update={"images": images}))

    with pytest.raises(
        InvalidRequest, match=rf"0\.png is {SIDE} x {SIDE} pixels, and the set says {2 * SIDE} x {SIDE}"
    ):
        judged(other, truth)


def test_a_detector_that_draws_no_masks_is_judged_by_boxes_alone(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "mask_of", None)  # none is drawn at full size for nothing

    told = judged(dataset, lambda index: tuple(one.model_copy(update={"mask": None}) for one in truth(index)))

    assert told.metrics["AP"] == told.metrics["APsmall"] == pytest.approx(1)
    assert not [name for name in told.metrics if name.startswith("mask_")]


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    content = _content(masks=False)
    content["annotations"][1] |= {"iscrowd": 1, "bbox": [0, 0, SIDE, SIDE]}
    dataset = write(tmp_path, masks=False)
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    dataset = read(tmp_path)

    told = judged(dataset, truth, kind=ScoreKind.SIGMOID)

    assert told.metrics["precision"] == told.metrics["recall"] == 1
    assert told.metrics["calibration_error"] == pytest.approx(0.1)
    assert told.settings["objects"] == 3
    assert all(case.badness == 0 for case in told.cases)


def test_a_class_without_an_object_need_not_be_known(dataset: Dataset) -> None:
    categories = (*dataset.content.categories, CocoCategory(id=9, name="supercategory"))
    more = replace(dataset, content=dataset.content.model_copy(update={"categories": categories}))

    told = judged(more, truth)

    assert told.metrics["AP"] == pytest.approx(1)
    assert told.per_class["supercategory"]["AP"] is None


def test_a_class_that_the_model_does_not_know_is_refused(dataset: Dataset) -> None:
    sitting = examinee(Capability.DETECT, answer=lambda number, ask: (), classes=("dot",))

    with pytest.raises(InvalidRequest, match="does not know: bar"):
        judge(sitting, dataset, Criteria())


def test_a_model_that_grounds_is_asked_for_the_names_of_the_classes(dataset: Dataset) -> None:
    def grounded(number: int, ask: Any) -> tuple[Grounding, ...]:
        assert ask.arguments["phrases"] == CLASSES
        return tuple(Grounding(phrase=one.label, score=one.score, box=one.box) for one in truth(number))

    told = judge(examinee(Capability.GROUND, answer=grounded), dataset, Criteria())

    assert told.metrics["AP50"] == pytest.approx(1)


def test_a_model_that_can_neither_is_refused(dataset: Dataset) -> None:
    with pytest.raises(InvalidRequest, match="asks to detect or ground, and scripted can read"):
        judge(examinee(Capability.READ, answer=lambda number, ask: ()), dataset, Criteria())
