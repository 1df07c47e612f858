"""COCO's masks, however they are written: polygons, run lengths as numbers, run lengths compressed into letters.

By COCO's own rules for where a polygon's edge runs, which are those that figures are computed by. faster-coco-eval.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval.core import mask as library

from domain.geometry import Mask

Bits = npt.NDArray[np.bool_]

FEWEST_NUMBERS = 6
"""Of a polygon: three points."""
BEYOND = 4
"""By so many of the picture's longer sides a corner may lie from its origin; the library draws all the way there."""


def whole(segmentation: Any) -> Any:  # noqa: ANN401  (as COCO has it)
    """Return a segmentation without the polygons that enclose nothing: of fewer than three points, or half a point.

    None where nothing is left of some. What is no list of lists is returned as it is; `compressed` says what is wrong.
    """
    if not isinstance(segmentation, list) or not all(isinstance(part, list) for part in segmentation):
        return segmentation
    kept = [part for part in segmentation if len(part) >= FEWEST_NUMBERS and len(part) % 2 == 0]
    return segmentation if len(kept) == len(segmentation) else kept or None


def compressed(segmentation: Any, height: int, width: int) -> dict[str, Any]:  # noqa: ANN401
    """Return a segmentation as compressed run lengths of `height` x `width`, the library's own form.

    Raises ValueError where it is none, one of another size, or lies far outside of the picture.
    """
    try:
        runs = _runs(segmentation, height, width)
        library.area(runs)  # reads all of them
    except (LookupError, OverflowError, TypeError, RuntimeError) as error:
        raise ValueError("a segmentation is a list of polygons, or run lengths with a size and counts") from error
    return runs


def _runs(segmentation: Any, height: int, width: int) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(segmentation, Mapping):
        parts = whole(segmentation)
        if not parts or not isinstance(parts, list):
            raise ValueError("a polygon is x, y, x, y, …, of three points or more")
        return _merged([_polygon(part, height, width) for part in parts])
    size = tuple(segmentation["size"])
    if size != (height, width):
        raise ValueError(f"its run lengths are of {size} (height, width), its image of {(height, width)}")
    told = {"size": [height, width], "counts": segmentation["counts"]}
    if not isinstance(told["counts"], list):
        return _merged([told, told])  # which completes them where they end before the picture does
    counts = [int(count) for count in told["counts"]]
    if counts != told["counts"] or min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(
            f"a segmentation is polygons, or run lengths that add up to the {height * width} pixels of its image"
        )
    return dict(library.frPyObjects({**told, "counts": counts}, height, width))


def _polygon(part: Any, height: int, width: int) -> dict[str, Any]:  # noqa: ANN401
    """Return a polygon's runs: by itself, as the library takes a list that begins with four numbers for boxes all."""
    corners = np.asarray(part, dtype=np.float64)
    most = BEYOND * max(height, width)
    if corners.ndim != 1 or not np.abs(corners).max() <= most:  # also where one is no number
        raise ValueError(f"a polygon's corners are numbers near to the picture, within {most} pixels, not {part[:6]} …")
    return dict(library.frPyObjects([corners.tolist()], height, width)[0])


def _merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return dict(library.merge(list(parts)))


def decoded(runs: Mapping[str, Any]) -> Bits:
    """Return compressed run lengths as booleans, height x width."""
    return np.asarray(library.decode(dict(runs)), dtype=bool)


def of(one: Mask) -> dict[str, Any]:
    """Return a mask of the domain as compressed run lengths."""
    return compressed({"size": [one.height, one.width], "counts": list(one.counts)}, one.height, one.width)


def area(runs: Mapping[str, Any]) -> float:
    """Return how many pixels are set in compressed run lengths."""
    return float(library.area(dict(runs)))


def bbox(runs: Mapping[str, Any]) -> list[float]:
    """Return the box about compressed run lengths: x, y, width, height."""
    return [float(value) for value in library.toBbox(dict(runs))]
