"""Draws notices: a template, words for its slots, and what it then says in each language.

What is held out is decided by a hash of the template and its words, so that no draw, in no language and with no
figures, ever trains on it: one combination in eight. Templates marked `held_out` are never trained on at all.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from workers.training.worlds.notices.figures import FIGURES
from workers.training.worlds.notices.grammar import (
    LANGUAGES,
    Language,
    Noun,
    adjective,
    agreeing,
    finished,
    inflected,
    noun,
)

HERE = Path(__file__).parent
HELD_OUT_IN = 8
"""One of so many combinations is held out."""
NOUNS = frozenset(
    "vehicle animal person sight room shop goods gear brought hazard thing appliance".split()  # noqa: SIM905
)
ADJECTIVES = frozenset(("quality", "status"))
_SLOT = re.compile(r"\{(\w+)(?:~(\w+))?(?:\.(\w+))?\}")


class Share(Enum):
    """What a notice may be used for."""

    TRAINING = "training"
    COMBINATION = "combination"
    """held out: its words never met in its template"""
    TEMPLATE = "template"
    """held out: its template was never trained on"""


@dataclass(frozen=True)
class Template:
    """A sentence in all languages: its wordings, the first of which is written, and the class of each slot."""

    name: str
    slots: Mapping[str, str]
    wordings: Mapping[Language, tuple[str, ...]]
    fixed: Mapping[str, str]
    """words that always stand in a slot, as class.word"""
    held_out: bool


@dataclass(frozen=True)
class Notice:
    """A template with its slots filled: by words (class.word) and by figures and names, which every language keeps."""

    template: Template
    words: Mapping[str, str]
    figures: Mapping[str, str]

    @property
    def key(self) -> str:
        """What is held out or not: the template and its words; its figures where it has no words."""
        return " ".join((self.template.name, *(self.words.values() or self.figures.values())))

    @property
    def share(self) -> Share:
        """What it may be used for."""
        if self.template.held_out:
            return Share.TEMPLATE
        held = hashlib.sha256(self.key.encode()).digest()[0] % HELD_OUT_IN == 0
        return Share.COMBINATION if held else Share.TRAINING

    def say(self, language: Language, wording: int = 0) -> str:
        """Return what it says in a language."""
        pattern = self.template.wordings[language][wording]
        return finished(_SLOT.sub(lambda slot: self._filled(slot, language), pattern), language)

    def _filled(self, slot: re.Match[str], language: Language) -> str:
        name, other, form = slot.groups()
        if name in self.figures:
            return self.figures[name]
        word = self.words.get(name) or self.template.fixed[name]
        told = entry(word)[LANGUAGES.index(language)]
        kind = word.partition(".")[0]
        if kind in NOUNS:
            return inflected(noun(told), form, language)
        if kind in ADJECTIVES:
            with_noun = self._noun(other, language) if other else Noun(" ", " ", "m")
            return agreeing(adjective(told, language), with_noun, form or "one")
        if kind == "activity":
            gerund, _, base = told.partition("|")
            return base if base and form == "do" else gerund
        return told

    def _noun(self, slot: str, language: Language) -> Noun:
        return noun(entry(self.words[slot])[LANGUAGES.index(language)])


@cache
def words() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Read `words.toml`: by class and name, one form or several for each of LANGUAGES."""
    told = tomllib.loads((HERE / "words.toml").read_text("utf-8"))
    return {kind: {name: tuple(forms) for name, forms in rows.items()} for kind, rows in told.items()}


@cache
def templates() -> Mapping[str, Template]:
    """Read `templates.toml`."""
    told = tomllib.loads((HERE / "templates.toml").read_text("utf-8"))
    return {name: _template(name, row) for name, row in told.items()}


def entry(word: str) -> tuple[str, ...]:
    """Return what `words.toml` has for class.word, in the order of LANGUAGES."""
    kind, _, name = word.partition(".")
    return words()[kind][name]


def draw(random: Random, share: Share, among: Sequence[Template] = ()) -> Notice:
    """Draw a notice of a share; the same state of `random`, the same notice."""
    chosen = among or [one for one in templates().values() if one.held_out == (share is Share.TEMPLATE)]
    while True:
        notice = filled(random.choice(chosen), random)
        if notice.share is share:
            return notice


def filled(template: Template, random: Random) -> Notice:
    """Fill a template's slots at random, no word twice."""
    chosen: dict[str, str] = {}
    for slot, kind in template.slots.items():
        if kind not in FIGURES:
            free = [name for name in words()[kind] if f"{kind}.{name}" not in chosen.values()]
            chosen[slot] = f"{kind}.{random.choice(free)}"
    figures = {slot: FIGURES[kind](random) for slot, kind in template.slots.items() if kind in FIGURES}
    return Notice(template, chosen, figures)


def _template(name: str, row: Mapping[str, Any]) -> Template:
    wordings = {language: tuple(row[language]) for language in LANGUAGES}
    return Template(name, row["slots"], wordings, row.get("fixed", {}), bool(row.get("held_out", False)))
