"""COCO's figures of a detector, computed by faster-coco-eval from annotations and results as COCO writes them.

101 recall points, at most 100 detections per picture; a crowd neither counts nor costs. https://cocodataset.org
"""

from collections.abc import Mapping, Sequence
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
ABSENT = -1.0
"""What COCO writes where the set has nothing of the kind."""


class Shape(StrEnum):
    """What overlaps are measured between."""

    BBOX = "bbox"
    SEGM = "segm"


def figures(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], shape: Shape, ious: Sequence[float] = ()
) -> dict[str, float]:
    """Return the twelve figures by name, and `AP33` and the like for further IoU thresholds; -1 of what is not there.

    `truth` has `images`, `annotations` (ids from 1) and `categories`; `results` have `image_id`, `category_id`,
    `score` and a `bbox` or a `segmentation` in run lengths.
    """
    judge = _judged(truth, results, shape)
    judge.summarize()
    named = {name: float(value) for name, value in zip(NAMES, judge.stats[:12], strict=True)}
    return named | {ap_name(iou): _mean(average_precisions(truth, results, shape, (iou,))) for iou in ious}


def average_precisions(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], shape: Shape, ious: Sequence[float] = ()
) -> npt.NDArray[np.float64]:
    """Return average precision as IoU thresholds x classes (by id); NaN where a class has no objects.

    The thresholds are COCO's ten, from 0.50 to 0.95, unless others are given.
    """
    judge = _judged(truth, results, shape, ious)
    precision = judge.eval["precision"][:, :, :, 0, -1]  # IoU x recall x class, all sizes, most detections
    return np.where((precision < 0).all(axis=1), np.nan, precision.mean(axis=1))


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
        judge.params.iouThrs = np.asarray(sorted(ious))
    judge.evaluate()
    judge.accumulate()
    return judge


def _mean(values: npt.NDArray[np.float64]) -> float:
    return ABSENT if np.isnan(values).all() else float(np.nanmean(values))


def _say_nothing(*words: object) -> None:
    """Take the library's chatter."""
