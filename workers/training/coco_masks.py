"""COCO's masks, however they are written: polygons, run lengths as numbers, run lengths compressed into letters.

By COCO's own rules for where a polygon's edge runs, which are those that figures are computed by. faster-coco-eval.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval.core import mask as library

from domain.geometry import Mask
from workers.imaging.masks import encode

Bits = npt.NDArray[np.bool_]


def compressed(segmentation: Any, height: int, width: int) -> dict[str, Any]:  # noqa: ANN401  (as COCO has it)
    """Return a segmentation as compressed run lengths of `height` x `width`, the library's own form.

    Raises ValueError where it is none, or one of another size.
    """
    try:
        runs = _runs(segmentation, height, width)
        library.area(runs)  # reads all of them
    except (LookupError, TypeError, RuntimeError) as error:
        raise ValueError("a segmentation is a list of polygons, or run lengths with a size and counts") from error
    return runs


def _runs(segmentation: Any, height: int, width: int) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(segmentation, Mapping):
        if not all(len(polygon) % 2 == 0 and len(polygon) >= 4 for polygon in segmentation):
            raise ValueError("a polygon is x, y, x, y, …, of three points or more")
        return dict(library.merge(library.frPyObjects(segmentation, height, width)))
    size = tuple(segmentation["size"])
    if size != (height, width):
        raise ValueError(f"its run lengths are of {size} (height, width), its image of {(height, width)}")
    told = {"size": list(size), "counts": segmentation["counts"]}
    return dict(library.frPyObjects(told, height, width)) if isinstance(told["counts"], list) else told


def bits(segmentation: Any, height: int, width: int) -> Bits:  # noqa: ANN401
    """Return a segmentation as `height` x `width` booleans. Raises ValueError as `compressed` does."""
    return np.asarray(library.decode(compressed(segmentation, height, width)), dtype=bool)


def mask(segmentation: Any, height: int, width: int) -> Mask:  # noqa: ANN401
    """Return a segmentation as the domain has it. Raises ValueError as `compressed` does."""
    return encode(bits(segmentation, height, width))


def of(one: Mask) -> dict[str, Any]:
    """Return a mask of the domain as compressed run lengths."""
    return compressed({"size": [one.height, one.width], "counts": list(one.counts)}, one.height, one.width)


def area(runs: Mapping[str, Any]) -> float:
    """Return how many pixels are set in compressed run lengths."""
    return float(library.area(dict(runs)))


def bbox(runs: Mapping[str, Any]) -> list[float]:
    """Return the box about compressed run lengths: x, y, width, height."""
    return [float(value) for value in library.toBbox(dict(runs))]
