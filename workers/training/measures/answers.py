"""Answers to questions against the right ones."""

import unicodedata
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

THRESHOLD = 0.5
"""An answer that differs in half of its letters or more is a wrong one, not a misspelt one (Biten et al. 2019)."""
QUOTES = " \t\n\"'\u201c\u201d\u2018\u2019\u00ab\u00bb"
"""What may stand about an answer without being part of it."""
ENDS = QUOTES + ".!?,;:"
"""What may end one; a point before a number is part of it."""


def plain(text: str) -> str:
    """Return a text as it is compared: NFKC, no case, single blanks, no quotes, no full stop."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.lstrip(QUOTES).rstrip(ENDS).split())


def is_exact(answer: str, right: str) -> bool:
    """Say whether an answer is the right one, but for case, blanks and the marks about it."""
    return plain(answer) == plain(right)


def similarity(answer: str, right: str) -> float:
    """Return 1 less the normalised edit distance, or 0 where that is half or more: an answer's share in ANLS."""
    distance = Levenshtein.normalized_distance(plain(answer), plain(right))
    return 1.0 - distance if distance < THRESHOLD else 0.0


def exact_match(answers: Sequence[str], right: Sequence[str]) -> float:
    """Return the share of answers that are the right ones, in [0, 1]. Raises ValueError where there are none."""
    return _mean([is_exact(one, other) for one, other in zip(answers, right, strict=True)])


def anls(answers: Sequence[str], right: Sequence[str]) -> float:
    """Return the average normalised Levenshtein similarity, in [0, 1]. Raises ValueError where there are none.

    Biten et al. 2019, Scene text visual question answering, with one right answer to each question.
    """
    return _mean([similarity(one, other) for one, other in zip(answers, right, strict=True)])


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise ValueError("no answers")
    return sum(values) / len(values)
