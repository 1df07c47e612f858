"""The words that a translator of notices was taught, by language: what it must not be asked beyond."""

import re
from collections.abc import Mapping

from workers.training.worlds.notices.drawing import ADJECTIVES, Notice, Template, templates, words
from workers.training.worlds.notices.figures import FIGURES
from workers.training.worlds.notices.grammar import LANGUAGES, Language

_WORD = re.compile(r"[^\W\d_]+")


def known_words() -> Mapping[Language, frozenset[str]]:
    """Return every word that a trained template can say, in small letters; names and figures are none."""
    found: dict[Language, set[str]] = {language: set() for language in LANGUAGES}
    for template in templates().values():
        if not template.held_out:
            for notice in _every_word(template):
                for language in LANGUAGES:
                    for wording in range(len(template.wordings[language])):
                        found[language] |= {word.lower() for word in _WORD.findall(notice.say(language, wording))}
    return {language: frozenset(known) for language, known in found.items()}


def _every_word(template: Template) -> list[Notice]:
    """Fill a template so often that each word stands in its slot, and each adjective with each noun."""
    kinds = {slot: kind for slot, kind in template.slots.items() if kind not in FIGURES}
    rounds = max((len(words()[kind]) for kind in kinds.values()), default=1)
    shifts = max((len(words()[kind]) for kind in kinds.values() if kind in ADJECTIVES), default=1)
    figures = {slot: "1" for slot, kind in template.slots.items() if kind in FIGURES}
    return [
        Notice(template, {slot: f"{kind}.{_at(kind, turn, shift)}" for slot, kind in kinds.items()}, figures)
        for turn in range(rounds)
        for shift in range(shifts)
    ]


def _at(kind: str, turn: int, shift: int) -> str:
    names = list(words()[kind])
    return names[(turn + (shift if kind in ADJECTIVES else 0)) % len(names)]
