"""Boxes that a language model wrote into its answer, each in the words of its own training.

| format | what the model writes | its numbers |
|---|---|---|
| `qwen` | JSON `{"bbox_2d": [x0, y0, x1, y1], "label": ...}` (Qwen3-VL) | 0 to 1000 of the picture |
| `qwen-pixels` | the same (Qwen2.5-VL) | pixels of the picture as the model was shown it |
| `qwen-tags` | `<|object_ref_start|>label<|object_ref_end|><|box_start|>(x0,y0),(x1,y1)<|box_end|>` | 0 to 1000 |
| `gemma` | JSON `{"box_2d": [y0, x0, y1, x1], "label": ...}` (Gemma) | 0 to 1000 |
| `paligemma` | `<locY0><locX0><locY1><locX1> label ; ...` (Beyer et al. 2024) | 0 to 1023 |
| `internvl` | `<ref>label</ref><box>[[x0, y0, x1, y1], ...]</box>` (InternVL) | 0 to 1000 |
| `json1000` | JSON `{"box": [x0, y0, x1, y1], "label": ...}`, for models that were told so | 0 to 1000 |

A box is malformed where it has other than four numbers, they are not finite, or its corners are not in order; it is
dropped, and so is one that lies outside the picture altogether. One that lies partly outside is cut at the edge.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any

Corners = tuple[float, float, float, float]

TAGGED = re.compile(
    r"(?:<\|object_ref_start\|>(?P<label>[^<]*)<\|object_ref_end\|>\s*)?"
    r"<\|box_start\|>(?P<box>.*?)(?:<\|box_end\|>|(?=<\|)|$)",
    re.DOTALL,
)
LOCATED = re.compile(r"(?P<box>(?:<loc\d{4}>)+)(?P<label>[^<;]*)")
REFERRED = re.compile(r"(?:<ref>(?P<label>[^<]*)</ref>\s*)?<box>(?P<boxes>.*?)(?:</box>|(?=<)|$)", re.DOTALL)
LISTED = re.compile(r"\[([^\[\]]*)\]")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class BoxFormat(StrEnum):
    """How a model writes boxes; the module's table says what each looks like."""

    QWEN = "qwen"
    QWEN_PIXELS = "qwen-pixels"
    QWEN_TAGS = "qwen-tags"
    GEMMA = "gemma"
    PALIGEMMA = "paligemma"
    INTERNVL = "internvl"
    JSON1000 = "json1000"


@dataclass(frozen=True)
class Written:
    """A box as the model labelled it; `corners` (x0, y0, x1, y1) are shares of the picture's width and height."""

    label: str
    corners: Corners


def boxes_in(text: str, told: BoxFormat, shown: tuple[float, float]) -> tuple[list[Written], int]:
    """Return the boxes of an answer, and how many were dropped because they are malformed or outside the picture.

    `shown` is the width and height in pixels of the picture as the model was shown it; `qwen-pixels` alone needs it.
    """
    read, scale, rows_first = _READERS[told]
    width, height = shown if scale is None else (scale, scale)
    found, dropped = [], 0
    for label, numbers in read(text):
        corners = _corners(numbers, width, height, rows_first=rows_first)
        if corners is None:
            dropped += 1
        else:
            found.append(Written(label.strip(), corners))
    return found, dropped


def _corners(numbers: Sequence[object], width: float, height: float, *, rows_first: bool) -> Corners | None:
    """Return the corners as shares within [0, 1], None where they make no box inside the picture."""
    values = [_number(value) for value in numbers]
    if len(values) != 4 or not all(isfinite(value) for value in values):
        return None
    x0, y0, x1, y1 = (values[i] for i in ((1, 0, 3, 2) if rows_first else (0, 1, 2, 3)))
    x0, x1 = (min(max(x / width, 0.0), 1.0) for x in (x0, x1))
    y0, y1 = (min(max(y / height, 0.0), 1.0) for y in (y0, y1))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _number(value: object) -> float:
    """Return what JSON calls a number, not-a-number for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]


Read = Callable[[str], Iterable[tuple[str, Sequence[object]]]]
"""Yields each box of a text: its label and its numbers, as they stand."""


def _json(key: str) -> Read:
    """Read objects that hold a box under a key, wherever they stand in the text; one that is cut off counts too."""

    def read(text: str) -> Iterator[tuple[str, Sequence[object]]]:
        decoder, start = json.JSONDecoder(), text.find("{")
        while start >= 0:
            try:
                value, end = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                yield "", ()
                value, end = {}, start + 1
            yield from _of_value(value, key)
            start = text.find("{", end)

    return read


def _of_value(value: Any, key: str) -> Iterator[tuple[str, Sequence[object]]]:  # noqa: ANN401  (JSON)
    """Yield the boxes of an object, or of the objects in its lists where it has none of its own."""
    if not isinstance(value, dict):
        return
    if key in value:
        numbers = value[key]
        yield str(value.get("label", "")), numbers if isinstance(numbers, list) else ()
        return
    for listed in value.values():
        for item in listed if isinstance(listed, list) else ():
            yield from _of_value(item, key)


def _tagged(text: str) -> Iterator[tuple[str, Sequence[object]]]:
    for match in TAGGED.finditer(text):
        yield match["label"] or "", _numbers(match["box"])


def _located(text: str) -> Iterator[tuple[str, Sequence[object]]]:
    """Read runs of locations: four to a box; those that one label follows are all its."""
    for match in LOCATED.finditer(text):
        numbers = _numbers(match["box"])
        for start in range(0, len(numbers), 4):
            fits = all(number <= 1023 for number in numbers[start : start + 4])
            yield match["label"], numbers[start : start + 4] if fits else ()


def _referred(text: str) -> Iterator[tuple[str, Sequence[object]]]:
    for match in REFERRED.finditer(text):
        boxes = LISTED.findall(match["boxes"]) or [""]
        for box in boxes:
            yield match["label"] or "", _numbers(box)


_READERS: dict[BoxFormat, tuple[Read, float | None, bool]] = {
    BoxFormat.QWEN: (_json("bbox_2d"), 1000, False),
    BoxFormat.QWEN_PIXELS: (_json("bbox_2d"), None, False),
    BoxFormat.QWEN_TAGS: (_tagged, 1000, False),
    BoxFormat.GEMMA: (_json("box_2d"), 1000, True),
    BoxFormat.PALIGEMMA: (_located, 1024, True),
    BoxFormat.INTERNVL: (_referred, 1000, False),
    BoxFormat.JSON1000: (_json("box"), 1000, False),
}
"""How each format is read, what its numbers count up to (None: the pixels shown), and whether y comes before x."""
