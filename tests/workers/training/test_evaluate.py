"""Scores say what they should of detectors whose answers are known."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from domain.errors import InvalidRequest
from domain.geometry import Box, Mask
from domain.vision import Detection
from workers.imaging.masks import encode
from workers.models.family import Ask, Prepared, ScoreKind
from workers.training.coco import Dataset, read
from workers.training.evaluate import evaluate

SIDE = 40
Answers = Callable[[int], tuple[Detection, ...]]


class Known:
    """A detector that recognises a picture by its grey level and answers as it is told."""

    preprocessing = "none"
    device = "cpu"
    dtype = "none"
    scores = ScoreKind.NONE
    classes = ("dot", "bar")

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(int(ask.pictures[0][0, 0, 0]), group=0, pixels=1)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        return [self.answers(prepared.payload) for prepared in batch]

    def close(self) -> None:
        """Hold nothing."""


def _bits(index: int) -> Mask:
    bits = np.zeros((SIDE, SIDE), dtype=bool)
    bits[4 + index : 14 + index, 6:20] = True
    return encode(bits)


def _label(index: int) -> str:
    return Known.classes[index % 2]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four pictures with a defect, each with its own grey, and a clean one."""
    (tmp_path / "images").mkdir()
    for index in range(5):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), np.full((SIDE, SIDE, 3), index, dtype=np.uint8))
    annotations = [
        {
            "id": index + 1,
            "image_id": index + 1,
            "category_id": index % 2 + 1,
            "bbox": [6, 4 + index, 14, 10],
            "segmentation": {"size": [SIDE, SIDE], "counts": list(_bits(index).counts)},
        }
        for index in range(4)
    ]
    images = [{"id": index + 1, "file_name": f"{index}.png", "width": SIDE, "height": SIDE} for index in range(5)]
    categories = [{"id": index, "name": name} for index, name in enumerate(Known.classes, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return read(tmp_path)


def truth(index: int) -> tuple[Detection, ...]:
    if index == 4:
        return ()
    mask = _bits(index)
    return (Detection(label=_label(index), score=0.9, box=mask.box, mask=mask),)


def test_the_truth_scores_one(dataset: Dataset) -> None:
    scores = evaluate(Known(truth), dataset)

    assert scores.box_map50 == scores.mask_map50 == scores.box_map == scores.mask_map == pytest.approx(1.0)
    assert {name: one.objects for name, one in scores.classes.items()} == {"dot": 2, "bar": 2}
    assert (scores.pictures, scores.clean_pictures, scores.false_alarms) == (5, 1, {0.25: 0, 0.5: 0})


def test_silence_scores_nothing(dataset: Dataset) -> None:
    scores = evaluate(Known(lambda index: ()), dataset)

    assert scores.box_map50 == scores.mask_map50 == 0


def test_one_class_missed_halves_the_mean(dataset: Dataset) -> None:
    scores = evaluate(Known(lambda index: truth(index) if index % 2 == 0 else ()), dataset)

    assert scores.mask_map50 == pytest.approx(0.5)
    assert scores.classes["dot"].mask_ap50 == pytest.approx(1.0)
    assert scores.classes["bar"].mask_ap50 == 0


def test_a_right_box_around_a_wrong_mask_counts_as_box_alone(dataset: Dataset) -> None:
    def hollow(index: int) -> tuple[Detection, ...]:
        empty = encode(np.eye(SIDE, dtype=bool))
        return tuple(one.model_copy(update={"mask": empty}) for one in truth(index))

    scores = evaluate(Known(hollow), dataset)

    assert scores.box_map50 == pytest.approx(1.0)
    assert scores.mask_map50 == 0


def test_an_alarm_on_a_clean_picture_is_counted(dataset: Dataset) -> None:
    alarm = Detection(label="dot", score=0.3, box=Box(x0=0, y0=0, x1=5, y1=5))

    scores = evaluate(Known(lambda index: (alarm,) if index == 4 else truth(index)), dataset)

    assert scores.false_alarms == {0.25: 1, 0.5: 0}


def test_a_class_that_the_model_does_not_know_is_refused(dataset: Dataset) -> None:
    model = Known(truth)
    model.classes = ("dot",)  # type: ignore[assignment]

    with pytest.raises(InvalidRequest, match="does not know: bar"):
        evaluate(model, dataset)
