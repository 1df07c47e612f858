"""What a result looks like elsewhere: findings, marks, a headline, and the comparison with a sample's expectation."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from domain.applications.application import Finding
from domain.applications.signs.languages import NAMES
from domain.applications.signs.layout import overlap
from domain.applications.signs.schema import Provenance, Region, SignsResult
from domain.applications.signs.spelling import folded
from domain.geometry import Polygon
from domain.marks import Mark, PolygonMark, TextMark

PAINTED = frozenset({Provenance.MEMORY, Provenance.PHRASEBOOK, Provenance.MODEL})
"""What is painted over the sign; the rest is only outlined."""
SAME_PLACE = 0.5
"""Intersection over union from which two quadrilaterals are the same region."""


def findings(result: SignsResult) -> list[Finding]:
    """Return a finding for each region."""
    return [
        Finding(kind="text", score=region.confidence, image=region.image, box=region.quad.box, text=region.text)
        for region in result.regions
    ]


def marks(result: SignsResult, image: int) -> list[Mark]:
    """Return what to draw over an image: translations in place, outlines around the rest."""
    return [_mark(region) for region in result.regions if region.image == image]


def _mark(region: Region) -> Mark:
    if region.provenance not in PAINTED:
        tone = "info" if region.provenance == Provenance.SAME_LANGUAGE else "warn"
        return PolygonMark(polygon=region.quad, caption=region.provenance.value.replace("_", " "), tone=tone)
    overlay = region.overlay
    return TextMark(
        quad=overlay.quad,
        text=region.translation or "",
        angle=overlay.angle,
        font_px=overlay.font_px,
        foreground=overlay.palette.foreground,
        background=overlay.palette.background,
    )


def headline(result: SignsResult) -> str:
    """Say in a few words what became of the lines."""
    if not result.regions:
        return "no text"
    lines = f"{len(result.regions)} line{'s' if len(result.regions) > 1 else ''}"
    told = Counter(region.provenance.value.replace("_", " ") for region in result.regions)
    return f"{lines} to {NAMES[result.target]}: " + ", ".join(f"{count} {state}" for state, count in told.items())


def mismatches(result: SignsResult, expect: dict[str, Any]) -> list[str]:
    """Say where a result differs from an expectation.

    `expect` may hold `count` and `regions`, a list of `{image, quad, text, translation, provenance, language}` of which
    only `quad` is required. A region is the one whose quadrilateral overlaps the expected one by half or more (IoU).
    Texts are compared folded (case, accents, punctuation), translations as they are.
    """
    found = []
    if "count" in expect and len(result.regions) != expect["count"]:
        texts = [region.text for region in result.regions]
        found.append(f"expected {expect['count']} regions, found {len(result.regions)}: {texts}")
    for number, wanted in enumerate(expect.get("regions", ())):
        found += _differences(result.regions, wanted, f"region {number} ({wanted.get('text', 'any text')!r})")
    return found


def _differences(regions: Sequence[Region], wanted: Mapping[str, Any], name: str) -> Iterator[str]:
    quad = Polygon(points=tuple((x, y) for x, y in wanted["quad"]))
    here = [region for region in regions if region.image == wanted.get("image", 0)]
    best = max(here, key=lambda region: overlap(region.quad, quad), default=None)
    if best is None or overlap(best.quad, quad) < SAME_PLACE:
        near = "none at all" if best is None else f"{best.text!r} at IoU {overlap(best.quad, quad):.2f}"
        yield f"{name}: no region at {wanted['quad']}; the nearest is {near}"
        return
    if "text" in wanted and folded(best.text) != folded(wanted["text"]):
        yield f"{name}: the text is {best.text!r}, not {wanted['text']!r}"
    for field in ("translation", "provenance", "language", "phrase"):
        if field in wanted and getattr(best, field) != wanted[field]:
            yield f"{name}: the {field} is {getattr(best, field)!r}, not {wanted[field]!r}"
