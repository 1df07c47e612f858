"""Which words of a text count for a label: links, ways to reach somebody, banned phrases."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from domain.applications.moderation.evidence import Match
from domain.applications.moderation.folding import Span, Text, phrase
from domain.applications.moderation.links import Contact, contacts, host, within
from domain.geometry import Box
from domain.texts import printable
from domain.vision import TextRegion

MOST_QUOTED = 500
"""So many characters of a match are kept."""

Place = Callable[[Span], tuple[float, Box | None]]
"""How surely a part of a text was read, and where it stands."""


@dataclass(frozen=True)
class Wanted:
    """What of a text counts."""

    contacts: Sequence[Contact]
    phrases: Sequence[str]
    except_hosts: Sequence[str]


class Lines:
    """The lines that were read in a picture, as one text in reading order: by rows from the top, each from the left."""

    def __init__(self, regions: Sequence[TextRegion]) -> None:
        self.regions = _in_order(regions)
        self.text = "\n".join(region.text for region in self.regions)
        ends = [len(region.text) for region in self.regions]
        self._starts = [sum(ends[:number]) + number for number in range(len(ends))]

    def place(self, span: Span) -> tuple[float, Box | None]:
        """Return how surely a part of the text was read, by its least sure line, and the box around its lines."""
        touched = [
            region
            for region, start in zip(self.regions, self._starts, strict=True)
            if start < span.end and span.start <= start + len(region.text)
        ]
        boxes = [region.quad.box for region in touched]
        around = Box(
            x0=min(box.x0 for box in boxes),
            y0=min(box.y0 for box in boxes),
            x1=max(box.x1 for box in boxes),
            y1=max(box.y1 for box in boxes),
        )
        return min(region.confidence for region in touched), around


def _in_order(regions: Sequence[TextRegion]) -> list[TextRegion]:
    heights = sorted(region.quad.box.height for region in regions)
    row = max(heights[len(heights) // 2], 1.0) if heights else 1.0
    return sorted(regions, key=lambda region: (round(region.quad.box.centre[1] / row), region.quad.box.x0))


def matches(text: str, wanted: Wanted, place: Place) -> Iterator[Match]:
    """Yield what counts in a text."""
    for found in contacts(text) if wanted.contacts else ():
        excused = found.kind == "link" and within(host(found.reads), tuple(wanted.except_hosts))
        if found.kind in wanted.contacts and not excused:
            score, box = place(found.span)
            told = {"quote": _quoted(text, found.span), "reads": printable(found.reads, MOST_QUOTED)}
            yield Match(what=found.kind, **told, score=score, box=box)
    searched = Text(text)
    for banned in wanted.phrases:
        for span in searched.find(phrase(banned)):
            score, box = place(span)
            disguised = not phrase(banned).plainly(text[span.start : span.end])
            quote = _quoted(text, span)
            yield Match(what="phrase", quote=quote, reads=banned, disguised=disguised, score=score, box=box)


def _quoted(text: str, span: Span) -> str:
    return printable(text[span.start : span.end], MOST_QUOTED)
