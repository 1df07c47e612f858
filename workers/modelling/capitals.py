"""Texts in capitals, which translators were mostly not taught: said in small letters, and told in capitals again."""

MOST = 0.7
"""A text is in capitals where this share of its letters is: a reader may misread one as small."""
UNITS = frozenset(("km/h", "km", "m", "t", "kg", "h"))
"""What stays small beside figures."""


def in_capitals(text: str) -> bool:
    """Say whether a text of two letters or more is in capitals."""
    letters = [letter for letter in text if letter.isalpha()]
    return len(letters) > 1 and sum(letter.isupper() for letter in letters) >= MOST * len(letters)


def capitals(text: str) -> str:
    """Write a text in capitals; its blanks stay, and units that follow a figure stay small."""
    words = text.split(" ")
    after_figure = [False, *(word[-1:].isdigit() for word in words)]
    return " ".join(
        word if word in UNITS and figure else word.upper() for word, figure in zip(words, after_figure, strict=False)
    )
