"""A clause as known words: names of findings, denials, sides, hedges, and those that change nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from domain.applications.reporting.vocabulary import plain, vocabulary

SIZE = r"(?P<size>\d+(?:\.\d+)?) ?(?P<unit>mm|cm)"
RATIO = r"cardiothoracic ratio(?: is| of)? \d\.\d+"
"""A measure that a text may tell of a heart; what it says is not taken over."""


@dataclass(frozen=True)
class Token:
    """A saying of a clause: its kind (see `Vocabulary.sayings`, besides `size`, `ratio` and `comma`), and its words."""

    kind: str
    text: str
    finding: str = ""
    size_mm: float | None = None


def tokens(clause: str) -> tuple[Token, ...] | None:
    """Return the words of a clause; None where one of them is not known. The longest saying wins."""
    left = plain(clause)
    found = []
    while left:
        match = _pattern().match(left)
        if match is None:
            return None
        found.append(_token(match))
        left = left[match.end() :].lstrip()
    return tuple(found)


def _token(match: re.Match[str]) -> Token:
    text = match[0].strip()
    if match["size"] is not None:
        scale = 10.0 if match["unit"] == "cm" else 1.0
        return Token("size", text, size_mm=float(match["size"]) * scale)
    if match["ratio"] is not None:
        return Token("ratio", text)
    if text == ",":
        return Token("comma", text)
    kind, finding = _kinds()[text]
    return Token(kind, text, finding)


@cache
def _kinds() -> Mapping[str, tuple[str, str]]:
    return {words: (kind, finding) for words, kind, finding in vocabulary().sayings()}


@cache
def _pattern() -> re.Pattern[str]:
    sayings = "|".join(re.escape(words) for words in sorted(_kinds(), key=len, reverse=True))
    return re.compile(rf"(?:{SIZE}|(?P<ratio>{RATIO})|(?:{sayings}))(?!\w)|,")
