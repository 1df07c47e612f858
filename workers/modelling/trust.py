"""Whether a translation can be trusted: what a small translator must not be asked is refused, not invented.

A network that was taught a small world translates whatever it is given, fluently. What tells on it: a word that it was
never taught, a figure that did not come through, a piece that it was not sure of, and a translation that, translated
back, says something else.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from pydantic import Field

from domain.errors import ModelUnavailable
from domain.geometry import Value

_WORD = re.compile(r"[^\W\d_]+")
_FIGURE = re.compile(r"\d+")


class TrustOptions(Value):
    """What a translation must meet; see `Trust`."""

    words: str = ""
    """a JSON file of the checkpoint: the words that it was taught, by language; empty: any may be asked"""
    least: float = Field(default=0.0, ge=0, lt=1)
    """the probability that the least sure piece of a translation must have"""
    back: float = Field(default=0.0, ge=0, lt=1)
    """how much of a text must come back, when its translation is translated back"""


@dataclass(frozen=True)
class Said:
    """A translation: its text, whether it was cut off, and the probability of its least sure piece."""

    text: str
    cut: bool = False
    least: float = 1.0


class Trust:
    """Judges translations by the options of a row, and by the words that the checkpoint was taught."""

    def __init__(self, told: TrustOptions, folder: Path) -> None:
        """Raises ModelUnavailable where the file of words cannot be read."""
        self._told = told
        self._known = _read(folder / told.words) if told.words else {}

    @property
    def asks_back(self) -> bool:
        """Whether it wants to know what comes back."""
        return self._told.back > 0

    def doubts(self, text: str, language: str, said: Said, back: str) -> Mapping[str, float | str]:
        """Return why a translation is refused, as remarks; nothing where it may be told."""
        if Counter(_FIGURE.findall(text)) != Counter(_FIGURE.findall(said.text)):
            return {"refused": "figures"}
        if self._told.words and not _within(text, said.text, self._known.get(language, frozenset())):
            return {"refused": "words"}
        if said.least < self._told.least:
            return {"refused": "unsure", "least": round(said.least, 4)}
        agreement = agreeing(text, back) if self.asks_back else 1.0
        return {"refused": "back", "back": round(agreement, 4)} if agreement < self._told.back else {}


def agreeing(text: str, back: str) -> float:
    """Return the share of letters that two texts have in common in the same order (Ratcliff and Obershelp, 1988)."""
    return SequenceMatcher(None, plain(text), plain(back), autojunk=False).ratio()


def plain(text: str) -> str:
    """Return a text in small letters, without accents, its words a blank apart."""
    bare = "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
    return " ".join(bare.casefold().split())


def _within(text: str, translation: str, known: frozenset[str]) -> bool:
    """Say whether a text holds words that were taught, and besides them at most one name, which stayed as it was.

    A name is a run of words that begin with a capital; a word that was not taught may be one.
    """
    words = _WORD.findall(text)
    strange = [index for index, word in enumerate(words) if plain(word) not in known]
    if not strange:
        return True
    together = strange[-1] - strange[0] < len(strange)
    stayed = set(_WORD.findall(translation))
    names = all(words[index][0].isupper() and words[index] in stayed for index in strange)
    return together and names and len(strange) < len(words)


def _read(path: Path) -> Mapping[str, frozenset[str]]:
    try:
        told = json.loads(path.read_text("utf-8"))
        return {language: frozenset(map(plain, words)) for language, words in told.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelUnavailable(f"{path} does not hold the words of a translator by language: {error}") from error
