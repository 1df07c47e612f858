"""Texts that were read against what stands there."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class Edits:
    """What one text lacks to be the right one: edits by character and by word, and how many of each it should have."""

    characters: int
    length: int
    words: int
    word_count: int
    words_right: int
    """words of the right text that stand in the read one, in the alignment of fewest edits"""
    exact: bool


@dataclass(frozen=True)
class Rates:
    """Error rates over many texts: edits by length, not the mean over texts. They exceed 1 where much is made up."""

    cer: float
    wer: float
    word_accuracy: float
    exact: float


def plain(text: str) -> str:
    """Return a text as it is compared: composed characters (NFC), single blanks. Case counts."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def edits(read: str, right: str) -> Edits:
    """Compare one text with the right one."""
    got, wanted = plain(read), plain(right)
    words, others = got.split(), wanted.split()
    blocks = Levenshtein.opcodes(others, words)
    return Edits(
        characters=Levenshtein.distance(got, wanted),
        length=len(wanted),
        words=Levenshtein.distance(words, others),
        word_count=len(others),
        words_right=sum(block.src_end - block.src_start for block in blocks if block.tag == "equal"),
        exact=got == wanted,
    )


def rates(compared: Sequence[Edits]) -> Rates:
    """Return the error rates over texts. Raises ValueError where the right texts hold no word."""
    words = sum(one.word_count for one in compared)
    if not words:
        raise ValueError("no words to be read")
    return Rates(
        cer=sum(one.characters for one in compared) / sum(one.length for one in compared),
        wer=sum(one.words for one in compared) / words,
        word_accuracy=sum(one.words_right for one in compared) / words,
        exact=sum(one.exact for one in compared) / len(compared),
    )
