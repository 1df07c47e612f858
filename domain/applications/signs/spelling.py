"""Texts as a reader of signs sees them: words, figures, and the letters that look alike.

Folding takes away what signs and recognition get wrong without changing the word: case, accents, punctuation, and the
glyphs that are one stroke apart (i, l, 1; o, 0; s, 5; b, 8; rn, m). Figures are never folded.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

_UNITS = "km|min|mm|cm|kg|am|pm|uhr|std|ste|eme|er|st|nd|rd|th"
_TOKEN = re.compile(
    rf"""
    (?P<unit>km\s?/\s?h(?!\w))
    | (?P<misread>[0158](?!(?:{_UNITS})\b)[^\W\d_]{{2,}}[^\W_]*)
    | (?P<number>(?:[€$£]\s?)?\d+(?:[.,:]\d+)*(?:\s?h\d{{0,2}}(?!\w))?(?:\s?[%€$£])?)
    | (?P<word>[^\W\d_][^\W_]*)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ALIKE = str.maketrans({"i": "l", "1": "l", "0": "o", "5": "s", "8": "b"})
_WHOLE = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d"})  # what NFKD leaves whole


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a figure, where it stands in its text, and its folded form."""

    kind: Literal["word", "number"]
    folded: str
    start: int
    end: int


def plain(text: str) -> str:
    """Return the text in small letters and without accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_WHOLE))
    return "".join(mark for mark in decomposed if not unicodedata.combining(mark))


def alike(word: str) -> str:
    """Return a plain word with the letters that look alike made one."""
    return word.translate(_ALIKE).replace("rn", "m").replace("vv", "w")


def tokens(text: str) -> tuple[Token, ...]:
    """Split a text into words and figures; punctuation is dropped, `km/h` is one word, `17h30` one figure."""
    found = []
    for match in _TOKEN.finditer(text):
        if match["number"]:
            found.append(Token("number", plain(match[0]).replace(" ", ""), match.start(), match.end()))
        else:
            word = "kmh" if match["unit"] else alike(plain(match[0]))
            found.append(Token("word", word, match.start(), match.end()))
    return tuple(found)


def folded(text: str) -> str:
    """Return a text by which two spellings of the same sign are equal."""
    return " ".join(token.folded for token in tokens(text))


def edits(a: str, b: str, limit: int) -> int | None:
    """Return the Levenshtein distance, or None where it is over the limit.

    V. I. Levenshtein, "Binary codes capable of correcting deletions, insertions and reversals", 1966; row by row.
    """
    if abs(len(a) - len(b)) > limit:
        return None
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (left != right))
        if min(row) > limit:
            return None
    return row[-1] if row[-1] <= limit else None


def word_edits(seen: str, meant: str, *, company: int) -> int | None:
    """Return by how many edits a seen word may be the meant one, or None where it must not be.

    `company` is the number of letters of the whole phrase. Words of three letters must be the same. In a phrase of
    twelve letters or more a longer word may differ by one edit. In a shorter phrase, a word alone above all, nothing
    else speaks for it: from nine letters on one edit counts, from six on a lost or an added letter after the first
    (never another letter: danger, manger, ranger).
    """
    if seen == meant:
        return 0
    if len(meant) <= 3 or (company < 12 and len(meant) <= 5):
        return None
    if company < 12 and len(meant) <= 8 and (len(seen) == len(meant) or seen[:1] != meant[:1]):
        return None
    return edits(seen, meant, 1)
