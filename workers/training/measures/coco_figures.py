"""COCO's figures of a detector, computed by faster-coco-eval from annotations and results as COCO writes them.

101 recall points, at most 100 detections per picture; a crowd neither counts nor costs. https://cocodataset.org
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

NAMES = (
    *("AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge"),
    *("AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge"),
)
"""The twelve, in COCO's order; AR1 is the recall with one detection per picture. Sizes: 32² and 96² pixels."""
TEN = 10
"""IoU thresholds of COCO's own."""
SIZES = (1, 2, 3)
"""Where small, medium and large stand among the judge's sizes; 0 is all of them."""
ABSENT = -1.0
"""What COCO writes where the set has nothing of the kind."""


class Shape(StrEnum):
    """What overlaps are measured between."""

    BBOX = "bbox"
    SEGM = "segm"


@dataclass(frozen=True)
class Judgement:
    """What one run of COCO's judge says."""

    figures: dict[str, float]
    """the twelve by name, and `AP33` and the like for further IoU thresholds; -1 of what is not there"""
    precisions: npt.NDArray[np.float64] = field(compare=False)
    """average precision as IoU thresholds x classes (by id); NaN where a class has no objects. The thresholds are
    COCO's ten, from 0.50 to 0.95, and then the further ones"""


def figures(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], shape: Shape, ious: Sequence[float] = ()
) -> dict[str, float]:
    """Return the figures of `judgement` alone."""
    return judgement(truth, results, shape, ious).figures


def judgement(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], shape: Shape, ious: Sequence[float] = ()
) -> Judgement:
    """Run COCO's judge once.

    `truth` has `images`, `annotations` (ids from 1) and `categories`; `results` have `image_id`, `category_id`,
    `score` and a `bbox` or a `segmentation` in run lengths.
    """
    judge = _judged(truth, results, shape, ious)
    # IoU x recall x class x size x most detections, and the same without recall: -1 where nothing is there
    precision, recall = judge.eval["precision"], judge.eval["recall"]
    p, r = precision[:TEN, ..., -1], recall[:TEN]
    told = (
        *(p[..., 0], p[0, ..., 0], p[5, ..., 0], *(p[..., size] for size in SIZES)),
        *(r[..., 0, most] for most in range(3)),
        *(r[..., size, -1] for size in SIZES),
    )
    named = {name: _mean(values) for name, values in zip(NAMES, told, strict=True)}
    more = {ap_name(iou): _mean(precision[TEN + at, ..., 0, -1]) for at, iou in enumerate(ious)}
    of_classes = precision[..., 0, -1]
    precisions = np.where((of_classes < 0).all(axis=1), np.nan, of_classes.mean(axis=1))
    return Judgement(named | more, precisions)


def ap_name(iou: float) -> str:
    """Return the name of the average precision at an IoU: `AP33` of 0.33."""
    return f"AP{iou * 100:g}"


def _judged(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], shape: Shape, ious: Sequence[float] = ()
) -> COCOeval_faster:
    known = COCO({**truth, "annotations": [dict(one) for one in truth["annotations"]]}, print_function=_say_nothing)
    found = known.loadRes([dict(one) for one in results])
    judge = COCOeval_faster(known, found, shape.value, print_function=_say_nothing)
    if ious:
        judge.params.iouThrs = np.asarray([*judge.params.iouThrs, *ious])
    judge.evaluate()
    judge.accumulate()
    return judge


def _mean(values: npt.NDArray[np.float64]) -> float:
    """Return the mean of what is there."""
    there = values[values > ABSENT]
    return float(there.mean()) if there.size else ABSENT


def _say_nothing(*words: object) -> None:
    """Take the library's chatter."""
