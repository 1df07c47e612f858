"""Objects that were found against those that are there: average precision, and what one score and IoU come to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from domain.geometry import Box, Mask
from domain.vision import Detection
from workers.training import coco_masks
from workers.training.measures.coco_figures import ABSENT, TEN, Shape, ap_name, judgement
from workers.training.measures.labels import PerLabel, Rate
from workers.training.measures.matching import (
    NONE,
    Overlaps,
    box_overlaps,
    crowded,
    mask_overlaps,
    matched,
    of_one_label,
)

NOTHING = "(nothing)"
"""In a confusion matrix: what is there and was not found, or was found and is not there."""


@dataclass(frozen=True)
class Thing:
    """An object that is there. A crowd neither counts nor costs, nor does what is found within it."""

    label: str
    box: Box
    mask: Mask | None = None
    crowd: bool = False
    area: float | None = None
    """by which COCO calls it small or large: that of its shape, where no mask tells it"""


@dataclass(frozen=True)
class Scene:
    """A picture of that size: what is there, and what was found."""

    width: int
    height: int
    there: Sequence[Thing]
    found: Sequence[Detection]


@dataclass(frozen=True)
class Precisions:
    """Average precision: COCO's figures over all classes, and AP, AP50, AP75 of each; None of what is not there."""

    overall: dict[str, float | None]
    per_class: dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Operating:
    """What comes of counting boxes from one score on as right from one IoU on.

    `confusion` has a row for each class and one for nothing, by what is there; the columns are by what it was called.
    """

    overall: PerLabel
    per_class: dict[str, PerLabel]
    alarms: Rate
    """of the pictures without an object or a crowd, those in which something was found"""
    labels: tuple[str, ...]
    confusion: npt.NDArray[np.int64] = field(compare=False)


def average_precision(
    scenes: Sequence[Scene], classes: Sequence[str], shape: Shape = Shape.BBOX, ious: Sequence[float] = ()
) -> Precisions:
    """Return average precision by boxes or by masks, with `AP33` and the like for further IoU thresholds.

    Found objects of other classes are left out, and so are, by masks, those that have none. Raises ValueError where
    masks are judged and one that is there has none.
    """
    told = judgement(_truth(scenes, classes, shape), _results(scenes, classes, shape), shape, ious)
    overall = {name: _known(value) for name, value in told.figures.items()}
    ten, more = told.precisions[:TEN], told.precisions[TEN:]
    rows = {"AP": ten.mean(axis=0), "AP50": ten[0], "AP75": ten[5]}
    rows |= {ap_name(iou): row for iou, row in zip(ious, more, strict=True)}
    per_class = {
        label: {name: None if np.isnan(row[k]) else float(row[k]) for name, row in rows.items()}
        for k, label in enumerate(classes)
    }
    return Precisions(overall, per_class)


def operating(
    scenes: Sequence[Scene], classes: Sequence[str], *, score: float, iou: float, shape: Shape = Shape.BBOX
) -> Operating:
    """Count what is right from `score` and `iou` on. In the confusion matrix alone, a box may match another class.

    What matched nothing and lies mostly in a crowd of its class is left out.
    """
    hits, called, are = (dict.fromkeys(classes, 0) for _ in range(3))
    labels = (*classes, NOTHING)
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    clean = alarms = 0
    for scene in scenes:
        there = [one for one in scene.there if not one.crowd]
        called_so = [one for one in scene.found if one.label in hits and one.score >= score]
        found, places = without_crowds(called_so, scene.there, iou, shape)
        overlaps, scores = _overlaps(found, there, shape), [one.score for one in found]
        for one, place in zip(found, places, strict=True):
            called[one.label] += 1
            hits[one.label] += place != NONE
        for thing in there:
            are[thing.label] += 1
        _confuse(confusion, labels, found, there, matched(scores, overlaps, iou))
        clean += not scene.there
        alarms += bool(found) and not scene.there
    per_class = {name: PerLabel(Rate(hits[name], called[name]), Rate(hits[name], are[name])) for name in classes}
    total = sum(hits.values())
    overall = PerLabel(Rate(total, sum(called.values())), Rate(total, sum(are.values())))
    return Operating(overall, per_class, Rate(alarms, clean), labels, confusion)


def without_crowds(
    found: Sequence[Detection], there: Sequence[Thing], iou: float, shape: Shape = Shape.BBOX
) -> tuple[list[Detection], list[int]]:
    """Return what was found and is not one of a crowd, and for each the position of what it is, or -1.

    Positions are among those of `there` that are no crowds.
    """
    singles, crowds = [one for one in there if not one.crowd], [one for one in there if one.crowd]
    labels, scores = [one.label for one in found], [one.score for one in found]
    alike = of_one_label(_overlaps(found, singles, shape), labels, [one.label for one in singles])
    places = matched(scores, alike, iou)
    within = _overlaps(found, crowds, shape, crowds=True)
    left_out = crowded(places, of_one_label(within, labels, [one.label for one in crowds]))
    kept = [index for index, out in enumerate(left_out) if not out]
    return [found[index] for index in kept], [places[index] for index in kept]


def _overlaps(found: Sequence[Detection], there: Sequence[Thing], shape: Shape, *, crowds: bool = False) -> Overlaps:
    if shape is Shape.BBOX:
        return box_overlaps([one.box for one in found], [one.box for one in there], crowds=crowds)
    overlaps = np.zeros((len(found), len(there)))
    rows = [index for index, one in enumerate(found) if one.mask is not None]
    columns = [index for index, one in enumerate(there) if one.mask is not None]
    masks = [one.mask for one in found if one.mask is not None], [one.mask for one in there if one.mask is not None]
    overlaps[np.ix_(rows, columns)] = mask_overlaps(*masks, crowds=crowds)
    return overlaps


def _confuse(
    table: npt.NDArray[np.int64],
    labels: Sequence[str],
    found: Sequence[Detection],
    there: Sequence[Thing],
    places: Sequence[int],
) -> None:
    for one, place in zip(found, places, strict=True):
        table[labels.index(there[place].label if place != NONE else NOTHING), labels.index(one.label)] += 1
    for index, thing in enumerate(there):
        if index not in places:
            table[labels.index(thing.label), labels.index(NOTHING)] += 1


def _truth(scenes: Sequence[Scene], classes: Sequence[str], shape: Shape) -> dict[str, object]:
    objects: list[dict[str, object]] = []
    for number, scene in enumerate(scenes, start=1):
        for thing in scene.there:
            area = thing.area if thing.mask is None else thing.mask.area
            area = thing.box.area if area is None else area
            facts = {"image_id": number, "category_id": classes.index(thing.label) + 1, "iscrowd": int(thing.crowd)}
            objects.append({"id": len(objects) + 1, "area": area, **facts, **_shape(thing.box, thing.mask, shape)})
    return {
        "images": [{"id": n, "width": one.width, "height": one.height} for n, one in enumerate(scenes, start=1)],
        "annotations": objects,
        "categories": [{"id": k, "name": name} for k, name in enumerate(classes, start=1)],
    }


def _results(scenes: Sequence[Scene], classes: Sequence[str], shape: Shape) -> list[dict[str, object]]:
    return [
        {
            "image_id": number,
            "category_id": classes.index(one.label) + 1,
            "score": one.score,
            **_shape(one.box, one.mask, shape),
        }
        for number, scene in enumerate(scenes, start=1)
        for one in scene.found
        if one.label in classes and (shape is Shape.BBOX or one.mask is not None)
    ]


def _shape(box: Box, mask: Mask | None, shape: Shape) -> dict[str, object]:
    """Return the one shape that is judged: beside a box, COCO's judge would take the box's area for the mask's."""
    if shape is Shape.BBOX:
        return {"bbox": [box.x0, box.y0, box.width, box.height]}
    if mask is None:
        raise ValueError("an object that is there has no mask to be judged by")
    return {"segmentation": coco_masks.of(mask)}


def _known(value: float) -> float | None:
    return None if value == ABSENT else value
