"""The result of `vision`, and what it looks like elsewhere: findings, marks, a headline, a sample's expectation."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from domain.applications.application import Finding, Result
from domain.applications.vision.request import Offered
from domain.geometry import Box, Mask, Polygon, Score, Value
from domain.marks import BannerMark, BoxMark, Mark, MaskMark, PolygonMark
from domain.vision import Label

MOST_IN_HEADLINE = 4
MOST_LETTERS = 200
"""of what is drawn over a picture in one place"""


class Item(Value):
    """One thing that a step answered. Coordinates are pixels of the job's image, also where a crop was asked about."""

    step: int = Field(ge=0)
    capability: Offered
    image: int | None = Field(default=None, ge=0, description="which of the job's images; null of a text alone")
    of: int | None = Field(default=None, ge=0, description="the item of an earlier step that was looked at, by index")
    label: str | None = Field(default=None, description="a class, a phrase, the best of the labels, a language")
    text: str | None = Field(default=None, description="an answer, a caption, a draft, a line, a translation")
    value: JsonValue = Field(default=None, description="an answer by a schema: what `text` says in JSON")
    score: Score | None = Field(default=None, description="what it means is kept with the model call")
    box: Box | None = None
    quad: Polygon | None = None
    mask: Mask | None = None
    labels: tuple[Label, ...] = Field(default=(), description="all labels or options with their scores, best first")
    vector: tuple[float, ...] = Field(default=(), description="of length 1, comparable by cosine")


class VisionResult(Result):
    """The answers of all steps, in the order of the steps and, within one, of what was looked at."""

    items: tuple[Item, ...]


def findings(result: VisionResult) -> list[Finding]:
    """Return a finding for whatever has a place."""
    return [
        Finding(
            kind=(item.label or item.capability.value)[:128],
            score=item.score if item.score is not None else 1.0,
            image=item.image,
            box=item.box,
            text=item.text,
        )
        for item in result.items
        if item.box is not None and item.image is not None
    ]


def marks(result: VisionResult, image: int) -> list[Mark]:
    """Return what to draw over an image: boxes, lines of text and masks, each with what a later step said of it.

    What was said of the whole picture stands above it.
    """
    said: dict[int | None, list[str]] = defaultdict(list)
    for item in result.items:
        if item.image == image and item.box is None and not item.vector:
            said[item.of].append(headline_of(item))
    found: list[Mark] = [BannerMark(text="; ".join(said[None])[:MOST_LETTERS])] if None in said else []
    for number, item in enumerate(result.items):
        if item.image == image and item.box is not None:
            found += _marks(item, ": ".join([headline_of(item), *said[number]])[:MOST_LETTERS])
    return found


def _marks(item: Item, caption: str) -> Iterator[Mark]:
    if item.mask is not None:
        yield MaskMark(mask=item.mask)
    if item.quad is not None:
        yield PolygonMark(polygon=item.quad, caption=caption)
    elif item.box is not None:
        yield BoxMark(box=item.box, caption=caption)


def headline(result: VisionResult) -> str:
    """Say in a few words what was answered: the last step's items."""
    if not result.items:
        return "nothing found"
    last = max(item.step for item in result.items)
    told = Counter(headline_of(item) for item in result.items if item.step == last)
    shown = [f"{count} × {each}" if count > 1 else each for each, count in told.most_common(MOST_IN_HEADLINE)]
    more = len(told) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def headline_of(item: Item) -> str:
    """Say in a few words what an item says."""
    said = item.text or item.label or (f"vector of {len(item.vector)}" if item.vector else item.capability.value)
    return said if len(said) <= 80 else f"{said[:79]}…"


class Expected(Value):
    """Items that a sample promises for a step; what is left out is not compared."""

    step: int = 0
    count: int | None = None
    labels: tuple[str, ...] | None = None
    """of the items, in any order"""
    texts: tuple[str, ...] | None = None
    """of the items, in any order"""
    words: tuple[str, ...] = ()
    """each stands somewhere in the items' texts, upper or lower case alike"""


class Expectation(Value):
    """What a sample may promise."""

    steps: tuple[Expected, ...] = ()


def mismatches(result: VisionResult, expect: dict[str, Any]) -> list[str]:
    """Say where the result differs from the expectation, one sentence each; empty where it holds."""
    try:
        expected = Expectation.model_validate(expect)
    except ValidationError as error:
        return [f"the expectation itself is malformed: {each['loc']}: {each['msg']}" for each in error.errors()]
    return [sentence for step in expected.steps for sentence in _differences(result, step)]


def _differences(result: VisionResult, expected: Expected) -> Iterator[str]:
    items = [item for item in result.items if item.step == expected.step]
    if expected.count is not None and len(items) != expected.count:
        yield f"step {expected.step} gave {len(items)} items, expected {expected.count}"
    for name, wanted in (("label", expected.labels), ("text", expected.texts)):
        found = sorted(str(getattr(item, name)) for item in items)
        if wanted is not None and found != sorted(wanted):
            yield f"the {name}s of step {expected.step} are {found}, expected {sorted(wanted)}"
    said = "\n".join(str(item.text) for item in items)
    for words in expected.words:
        if words.casefold() not in said.casefold():
            yield f"step {expected.step} says {said!r}, expected {words!r} in it"
