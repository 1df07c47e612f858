"""How far a reader's report is from the machine's draft: figures for statistics, not a judgement of either.

The edit distance is Levenshtein's (1966) on words, by the dynamic programme of Wagner and Fischer (1974): how many
words are put in, taken out or replaced. Capitals and punctuation do not count.
"""

import re
from collections.abc import Sequence

from pydantic import Field

from domain.applications.reporting.result import ReportingResult, Told
from domain.geometry import Score, Value


class Figures(Value):
    """What a reader made of a draft."""

    edit_distance: int = Field(ge=0)
    """in words"""
    edit_share: Score
    """of the words of the longer text; 0 of two empty ones"""
    accepted_unchanged: bool
    """neither a word nor a finding differs"""
    findings_added: tuple[str, ...]
    """by the reader: `left pneumothorax`; one that is told as absent bears `no`"""
    findings_removed: tuple[str, ...]


def figures(machine: ReportingResult, reader: ReportingResult) -> Figures:
    """Compare the machine's draft with what a reader made of it."""
    before, after = words(machine), words(reader)
    distance = edit_distance(before, after)
    had, has = ({_stated(one) for one in result.findings} for result in (machine, reader))
    return Figures(
        edit_distance=distance,
        edit_share=distance / max(len(before), len(after), 1),
        accepted_unchanged=distance == 0 and had == has,
        findings_added=tuple(sorted(has - had)),
        findings_removed=tuple(sorted(had - has)),
    )


def words(result: ReportingResult) -> tuple[str, ...]:
    """Return the words of a report, its impression after its sentences."""
    text = " ".join(sentence.text for sentence in (*result.sentences, *result.impression))
    return tuple(re.findall(r"\w+(?:\.\d+)?", text.casefold()))


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many words must be put in, taken out or replaced to make one of the other."""
    row = list(range(len(b) + 1))
    for at, word in enumerate(a, start=1):
        above, row = row, [at]
        for place, other in enumerate(b, start=1):
            row.append(min(above[place] + 1, row[-1] + 1, above[place - 1] + (word != other)))
    return row[-1]


def _stated(one: Told) -> str:
    side = f"{one.side} " if one.side else ""
    return f"{'' if one.present else 'no '}{side}{one.finding}"
