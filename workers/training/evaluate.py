"""How well a detector does on a data set, measured through the very path that serves it.

Average precision is COCO's (101 recall points, at most 100 detections per picture), computed by faster-coco-eval.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster
from pydantic import BaseModel, ConfigDict

from domain.errors import InvalidRequest
from domain.vision import Capability, Detection
from workers.imaging.masks import encode
from workers.models.family import Ask, Model, Pixels
from workers.training.coco import CocoAnnotation, CocoImage, Dataset, bits

LOWEST_SCORE = 0.01
"""Average precision wants weak detections too."""
ALARM_SCORES = (0.25, 0.5)
"""At these scores it is counted how many pictures without a defect raise an alarm."""


class ClassScores(BaseModel):
    """Average precision of one class at IoU 0.5, by box and by mask; None where the set has none of it."""

    model_config = ConfigDict(frozen=True)

    objects: int
    box_ap50: float | None
    mask_ap50: float | None


class Scores(BaseModel):
    """The measure of a detector on a data set. `map` averages IoU 0.50 to 0.95 in steps of 0.05."""

    model_config = ConfigDict(frozen=True)

    pictures: int
    box_map50: float
    mask_map50: float
    box_map: float
    mask_map: float
    classes: dict[str, ClassScores]
    clean_pictures: int
    false_alarms: dict[float, int]


def evaluate(model: Model, dataset: Dataset, *, batch: int = 8, advance: Callable[[], None] = lambda: None) -> Scores:
    """Run the model over the data set in batches and score it. `advance` is called after each picture.

    Raises InvalidRequest where the data set has a class that the model does not know.
    """
    unknown = set(dataset.classes) - set(model.classes)
    if unknown:
        raise InvalidRequest(f"{dataset.folder} has classes that the model does not know: {', '.join(sorted(unknown))}")
    truth = list(dataset.pairs())
    answers = list(_answers(model, dataset, [image for image, _ in truth], batch, advance))
    box, mask = (_precisions(dataset, truth, answers, kind) for kind in ("bbox", "segm"))
    names = sorted(dataset.content.categories, key=lambda item: item.id)
    counts = {item.id: sum(other.category_id == item.id for other in dataset.content.annotations) for item in names}
    clean = [found for (_, objects), found in zip(truth, answers, strict=True) if not objects]
    return Scores(
        pictures=len(truth),
        box_map50=_mean(box[0]),
        mask_map50=_mean(mask[0]),
        box_map=_mean(box),
        mask_map=_mean(mask),
        classes={
            item.name: ClassScores(objects=counts[item.id], box_ap50=_one(box[0, k]), mask_ap50=_one(mask[0, k]))
            for k, item in enumerate(names)
        },
        clean_pictures=len(clean),
        false_alarms={score: sum(_alarm(found, score) for found in clean) for score in ALARM_SCORES},
    )


def read_pixels(dataset: Dataset, image: CocoImage) -> Pixels:
    """Read an image of the set as HxWx3 RGB. Raises InvalidRequest where it cannot be read."""
    pixels = cv2.imread(str(dataset.path(image)), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise InvalidRequest(f"{dataset.path(image)} cannot be read as an image")
    return np.asarray(pixels, dtype=np.uint8)


def _answers(
    model: Model, dataset: Dataset, images: Sequence[CocoImage], batch: int, advance: Callable[[], None]
) -> Iterator[tuple[Detection, ...]]:
    asks = (Ask(Capability.DETECT, (read_pixels(dataset, image),), {"min_score": LOWEST_SCORE}) for image in images)
    while prepared := [model.prepare(ask) for ask in islice(asks, batch)]:
        for answer in model.run(prepared):
            advance()
            yield answer


def _precisions(
    dataset: Dataset,
    truth: Sequence[tuple[CocoImage, list[CocoAnnotation]]],
    answers: Sequence[tuple[Detection, ...]],
    kind: str,
) -> npt.NDArray[np.float64]:
    """Return average precision as 10 IoU thresholds (from 0.50) x classes; NaN where a class has no objects."""
    ids = {item.name: item.id for item in dataset.content.categories}
    known = COCO(_as_coco(dataset, truth), print_function=_say_nothing)
    found = [
        {
            "image_id": image.id,
            "category_id": ids[one.label],
            "score": one.score,
            "bbox": [one.box.x0, one.box.y0, one.box.width, one.box.height],
            **_runs(one),
        }
        for (image, _), answer in zip(truth, answers, strict=True)
        for one in answer
        if one.label in ids and (kind == "bbox" or one.mask is not None)
    ]
    judge = COCOeval_faster(known, known.loadRes(found), kind, print_function=_say_nothing)
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, -1]  # IoU x recall x class, all areas, most detections
    absent = (precision < 0).all(axis=1)
    return np.where(absent, np.nan, precision.mean(axis=1))


def _alarm(found: Sequence[Detection], score: float) -> bool:
    return any(one.score >= score for one in found)


def _say_nothing(*words: object) -> None:
    """Take the library's chatter."""


def _runs(one: Detection) -> dict[str, Any]:
    if one.mask is None:
        return {}
    return {"segmentation": {"size": [one.mask.height, one.mask.width], "counts": list(one.mask.counts)}}


def _as_coco(dataset: Dataset, truth: Sequence[tuple[CocoImage, list[CocoAnnotation]]]) -> dict[str, Any]:
    objects = []
    for image, annotations in truth:
        for item in annotations:
            mask = encode(bits(item, image))
            shape = {"size": [mask.height, mask.width], "counts": list(mask.counts)}
            area = {"area": mask.area, "iscrowd": 0, "segmentation": shape, "bbox": list(item.bbox)}
            objects.append({"id": item.id, "image_id": item.image_id, "category_id": item.category_id, **area})
    return {
        "images": [image.model_dump() for image, _ in truth],
        "annotations": objects,
        "categories": [category.model_dump() for category in dataset.content.categories],
    }


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else 0.0


def _one(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
