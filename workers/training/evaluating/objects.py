"""Judging a set of objects in pictures, as boxes and, where it has them, as masks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workers.training.coco import CocoImage, Dataset
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.judged import Case, Confusion, Figures, Judged, Marked
from workers.training.evaluating.labels import rates
from workers.training.evaluating.scenes import seen
from workers.training.measures.boxes import Scene, average_precision, operating, without_crowds
from workers.training.measures.calibration import BINS, expected_error
from workers.training.measures.coco_figures import Shape
from workers.training.measures.labels import PerLabel
from workers.training.measures.matching import NONE

WEAKEST_SURE = 0.05
"""Scores below are left out of the calibration error: there is no end of such boxes, and nobody acts upon them."""


@dataclass(frozen=True)
class Criteria:
    """From which overlap on a box counts as right, and from which score on it counts at all."""

    iou: float = 0.5
    score: float = 0.25


def judge(examinee: Examinee, found: Dataset, criteria: Criteria) -> Judged:
    """Let the model find the set's objects. Raises InvalidRequest where it does not know one of their classes."""
    scenes, failed, masks = seen(examinee, found)
    judged = of_scenes(scenes, found.classes, criteria, masks=masks)
    judged = replace(judged, metrics={**judged.metrics, "failed": failed / len(scenes)})
    if examinee.scores_tell and (error := _calibration(scenes, criteria.iou)) is not None:
        judged = replace(judged, metrics={**judged.metrics, "calibration_error": error})
    cases = [_case(found, image, scene, criteria) for (image, _), scene in zip(found.pairs(), scenes, strict=True)]
    return replace(judged, cases=cases)


def of_scenes(scenes: Sequence[Scene], classes: Sequence[str], criteria: Criteria, *, masks: bool) -> Judged:
    """Return the figures of what was found in pictures: by boxes, and by masks under names that begin with `mask_`."""
    ious = () if round(criteria.iou, 4) in {0.5, 0.75} else (criteria.iou,)
    metrics: dict[str, float | None] = {}
    intervals: dict[str, tuple[float, float]] = {}
    per_class: dict[str, dict[str, float | None]] = {name: {} for name in classes}
    for shape in (Shape.BBOX, Shape.SEGM) if masks else (Shape.BBOX,):
        prefix = "mask_" if shape is Shape.SEGM else ""
        precisions = average_precision(scenes, classes, shape, ious)
        at = operating(scenes, classes, score=criteria.score, iou=criteria.iou, shape=shape)
        metrics |= _prefixed(prefix, {**precisions.overall, **_overall(at.overall)})
        intervals[f"{prefix}precision"] = at.overall.precision.interval
        intervals[f"{prefix}recall"] = at.overall.recall.interval
        for name in classes:
            per_class[name] |= _prefixed(prefix, {**precisions.per_class[name], **rates(at.per_class[name])})
    at = operating(scenes, classes, score=criteria.score, iou=criteria.iou)
    if at.alarms.count:
        metrics["false_alarms"], intervals["false_alarms"] = at.alarms.share, at.alarms.interval
    told = {"iou": criteria.iou, "score": criteria.score, "calibration_bins": BINS}
    objects, clean = at.overall.recall.count, at.alarms.count
    return Judged(
        count=len(scenes),
        metrics=metrics,
        intervals=intervals,
        per_class=per_class,
        settings={**told, "objects": objects, "clean_pictures": clean},
        confusion=Confusion(at.labels, at.labels, at.confusion),
    )


def _calibration(scenes: Sequence[Scene], iou: float) -> float | None:
    """Return the calibration error of the boxes that are not weak: each is right or not; None where there are none."""
    scores: list[float] = []
    right: list[bool] = []
    for scene in scenes:
        sure = [one for one in scene.found if one.score >= WEAKEST_SURE]
        found, places = without_crowds(sure, scene.there, iou)
        scores += [one.score for one in found]
        right += [place != NONE for place in places]
    return expected_error(scores, right) if scores else None


def _case(found: Dataset, image: CocoImage, scene: Scene, criteria: Criteria) -> Case:
    """Return a picture with its boxes; each that was missed or made up makes it worse."""
    things = [one for one in scene.there if not one.crowd]
    counting = [one for one in scene.found if one.score >= criteria.score]
    called, places = without_crowds(counting, scene.there, criteria.iou)
    missed = [index for index in range(len(things)) if index not in places]
    there = [Marked(one.box, one.label, index not in missed, True) for index, one in enumerate(things)]
    marks = [
        Marked(one.box, f"{one.label} {one.score:.2f}", place != NONE, False)
        for one, place in zip(called, places, strict=True)
    ]
    made_up = [one.score for one, place in zip(called, places, strict=True) if place == NONE]
    return Case(
        image.file_name,
        len(missed) + sum(made_up),
        f"{len(things)} there, {len(missed)} missed",
        f"{len(called)} found, {len(made_up)} made up",
        found.path(image),
        marked=[*there, *marks],
    )


def _overall(at: PerLabel) -> dict[str, float | None]:
    return {"precision": at.precision.share, "recall": at.recall.share, "f1": at.f1}


def _prefixed(prefix: str, figures: Figures) -> dict[str, float | None]:
    return {name if name == "count" else f"{prefix}{name}": value for name, value in figures.items()}
