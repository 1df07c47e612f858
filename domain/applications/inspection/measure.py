"""Detections -> defects: what lies outside the inspected area is left out and counted, the rest is measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.applications.inspection.parameters import InspectionParameters
from domain.applications.inspection.result import Defect, Ignored
from domain.geometry import Box, Mask, Polygon
from domain.vision import Detection, Picture


@dataclass(frozen=True)
class Seen:
    """A detection in one of the pictures, with the pixels it covers."""

    image: int
    detection: Detection
    shape: Mask


def seen(image: int, picture: Picture, detections: Sequence[Detection]) -> list[Seen]:
    """Give each detection its pixels: those of its mask, or those of its box where there is none (or an empty one)."""
    return [
        Seen(
            image,
            detection,
            detection.mask
            if detection.mask is not None and detection.mask.area
            else Mask.covering(detection.box, picture.height, picture.width),
        )
        for detection in detections
    ]


def whole(picture: Picture) -> Mask:
    """Return the mask of all of a picture's pixels."""
    return Mask.covering(Box(x0=0, y0=0, x1=picture.width, y1=picture.height), picture.height, picture.width)


def sort_out(found: Sequence[Seen], asked: InspectionParameters) -> tuple[list[Seen], Ignored]:
    """Return what counts, and how many were left out for which reason.

    A detection counts when at least `inside_share` of its pixels lie in the region of interest and outside the ignored
    polygons.
    """
    kept, outside, ignored, other = [], 0, 0, 0
    for one in found:
        if one.detection.label not in asked.recipe.classes:
            other += 1
        elif asked.roi and one.shape.share_inside(asked.roi) < asked.recipe.inside_share:
            outside += 1
        elif inspected(one.shape, asked) < asked.recipe.inside_share:
            ignored += 1
        else:
            kept.append(one)
    return kept, Ignored(outside_roi=outside, in_ignored_area=ignored, other_class=other)


def inspected(shape: Mask, asked: InspectionParameters) -> float:
    """Return the share of a shape that lies in the region of interest and outside the ignored polygons."""
    if not asked.roi and not asked.ignore:
        return 1.0
    frame = Polygon(points=((0, 0), (shape.width, 0), (shape.width, shape.height), (0, shape.height)))
    return shape.share_inside(asked.roi or (frame,), but_not=asked.ignore)


def measured(kept: Sequence[Seen], asked: InspectionParameters) -> tuple[Defect, ...]:
    """Measure what counts and number it, by picture and then by falling score."""

    def rank(one: Seen) -> tuple[Any, ...]:
        found = one.detection
        return one.image, -found.score, found.label, found.box.xyxy, found.mask is None, one.shape.counts

    return tuple(_defect(f"d{number}", one, asked) for number, one in enumerate(sorted(kept, key=rank), start=1))


def _defect(name: str, one: Seen, asked: InspectionParameters) -> Defect:
    scale = asked.calibration
    return Defect(
        id=name,
        image=one.image,
        label=one.detection.label,
        score=one.detection.score,
        certain=one.detection.score >= asked.recipe.min_score,
        box=one.detection.box,
        mask=one.detection.mask,
        area_px=one.shape.area,
        length_px=one.shape.longest_axis(),
        area_mm2=scale.area_mm2(one.shape.area) if scale else None,
        length_mm=one.shape.longest_axis(scale.mm_per_px_x, scale.mm_per_px_y) if scale else None,
        zones=tuple(
            zone
            for zone, outline in asked.recipe.zones.items()
            if one.shape.share_inside([outline]) >= asked.recipe.zone_share
        ),
    )
