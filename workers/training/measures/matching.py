"""Which of the found boxes or masks is which of those that are there."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from faster_coco_eval.core import mask as library

from domain.geometry import Box, Mask
from workers.training import coco_masks

Overlaps = npt.NDArray[np.float64]
"""Intersection over union, found x there."""

NONE = -1
"""The position of what was matched with nothing."""
MOSTLY = 0.5
"""A found thing of which more than this share lies in a crowd of its class is one of the crowd."""


def box_overlaps(found: Sequence[Box], there: Sequence[Box], *, crowds: bool = False) -> Overlaps:
    """Return the IoU of each found box with each that is there; of crowds, which share of the found box lies in each.

    As COCO has it: a crowd is larger than any one of it.
    """
    a = np.array([box.xyxy for box in found], dtype=np.float64).reshape(-1, 1, 4)
    b = np.array([box.xyxy for box in there], dtype=np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(min=0).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (
        0 if crowds else (b[..., 2:] - b[..., :2]).prod(axis=-1) - shared
    )
    areas = np.broadcast_to(areas, shared.shape)
    return np.asarray(np.divide(shared, areas, out=np.zeros_like(shared), where=areas > 0))


def mask_overlaps(found: Sequence[Mask], there: Sequence[Mask], *, crowds: bool = False) -> Overlaps:
    """Return the same as `box_overlaps` of masks; all are of one size."""
    if not found or not there:
        return np.zeros((len(found), len(there)))
    a, b = ([coco_masks.of(mask) for mask in masks] for masks in (found, there))
    return np.asarray(library.iou(a, b, [int(crowds)] * len(b)), dtype=np.float64).reshape(len(a), len(b))


def of_one_label(overlaps: Overlaps, found: Sequence[str], there: Sequence[str]) -> Overlaps:
    """Return the overlaps, with 0 between what has different labels."""
    same = np.array([[one == other for other in there] for one in found], dtype=bool)
    return np.asarray(overlaps * same.reshape(overlaps.shape))


def crowded(places: Sequence[int], in_crowds: Overlaps) -> list[bool]:
    """Say of each found thing whether it is one of a crowd, and so neither right nor wrong.

    Such is what matched nothing (`places`) and lies mostly in a crowd of its label (found x crowds).
    """
    return [
        place == NONE and bool((row > MOSTLY).any()) for place, row in zip(places, np.asarray(in_crowds), strict=True)
    ]


def matched(scores: Sequence[float], overlaps: Overlaps, least: float) -> list[int]:
    """Return for each found thing the position of what it is, or -1.

    The surest chooses first: of what no surer one took, that which it overlaps most, from an IoU of `least` on, and
    never what it overlaps by 0. As COCO and PASCAL VOC match.
    """
    free = np.array(overlaps, dtype=np.float64, copy=True)
    places = [NONE] * len(scores)
    if not free.size:
        return places
    for one in sorted(range(len(scores)), key=lambda index: -scores[index]):
        best = int(free[one].argmax())
        if free[one, best] >= least > 0:
            places[one] = best
            free[:, best] = 0
    return places
