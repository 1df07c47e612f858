"""The texts of a YOLO folder: a line per object.

A line is `class cx cy w h`, or `class x1 y1 x2 y2 x3 y3 …` for a polygon, in shares of the picture's width and height.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from domain.errors import InvalidRequest
from workers.training.coco import CocoImage
from workers.training.sets.headers import header
from workers.training.sets.labelled_set import Share
from workers.training.sets.texts import text_of

BEYOND = 0.01
"""By so much of a side an object may reach beyond its picture: labelling programs round so. It ends at the edge."""


def image(number: int, path: Path, root: Path, share: Share | None) -> CocoImage:
    """Return a picture as COCO has it, with the size that it is shown at. Raises as `header` does."""
    width, height = header(path).shown
    name = path.relative_to(root) if path.is_relative_to(root) else path
    return CocoImage(id=number, file_name=str(name), width=width, height=height, split=share and share.value)


def objects(file: Path, picture: CocoImage, names: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """Yield the class, the box and the polygon of each line, in pixels. Without a file the picture shows no object.

    Raises InvalidRequest that names the file and the line.
    """
    for number, line in lines(file):
        label, numbers = _numbers(line, f"{file}, line {number}")
        if label not in names:
            raise InvalidRequest(f"{file}, line {number}: there is no class {label}; name it, or correct the line")
        scaled = [value * (picture.height if at % 2 else picture.width) for at, value in enumerate(numbers)]
        xs, ys = scaled[::2], scaled[1::2]
        if len(scaled) == 4:
            xs, ys = ([middle - length / 2, middle + length / 2] for middle, length in (xs, ys))
            yield {"category_id": label, "bbox": _bounded(picture, xs, ys)}
        else:
            yield {"category_id": label, "bbox": _bounded(picture, xs, ys), "segmentation": [scaled]}


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines with something in them, numbered from 1; none of a file that is not there.

    Raises InvalidRequest where it is no text.
    """
    if not file.exists():
        return
    for number, line in enumerate(text_of(file).split("\n"), start=1):
        if line.strip():
            yield number, line


def _numbers(line: str, place: str) -> tuple[int, list[float]]:
    """Return a line's class and its coordinates, four of a box or pairs of a polygon."""
    words = line.split()
    try:
        label, numbers = int(words[0]), [float(word) for word in words[1:]]
    except ValueError as error:
        raise InvalidRequest(f"{place}: {error}; a line is a class and coordinates, numbers all") from error
    if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        raise InvalidRequest(
            f"{place}: {len(numbers)} coordinates; a box has 4 (centre x, centre y, width, height), a polygon a pair "
            f"for each of 3 corners or more"
        )
    if not all(-BEYOND <= number <= 1 + BEYOND for number in numbers):
        raise InvalidRequest(
            f"{place}: coordinates are shares of the picture's sides, from 0 to 1; divide pixels by them"
        )
    return label, numbers


def _bounded(picture: CocoImage, xs: list[float], ys: list[float]) -> tuple[float, float, float, float]:
    """Return the box about these places, within the picture: x, y, width, height."""
    left, top = max(min(xs), 0.0), max(min(ys), 0.0)
    right, bottom = min(max(xs), picture.width), min(max(ys), picture.height)
    return left, top, max(right - left, 0.0), max(bottom - top, 0.0)
