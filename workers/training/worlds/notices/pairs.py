"""Pairs of texts in two languages, as a reader gives them: a notice or two, some in small letters or without accents.

What the capitals of a sign say is translated in small letters (see the option `capitals` of the family seq2seq), hence
pairs in small letters on both sides. A source may have another wording than the one that is written, or lack its
accents or its full stop; a target never.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from workers.training.worlds.notices.drawing import Notice, Share, draw, templates
from workers.training.worlds.notices.grammar import LANGUAGES, Language

SMALL = 0.25
"""The share of pairs in small letters."""
BARE = 0.06
"""The share of sources without accents."""
OTHER_WORDING = 0.25
"""How often a source is worded otherwise, where there is another wording."""
TWO = 0.12
"""The share of texts that are two notices."""
JOINTS = (" ", " ", ". ", ", ", " - ")


@dataclass(frozen=True)
class Pair:
    """A text and its translation; `group` is what was drawn, the same in every language."""

    source: str
    target: str
    source_language: Language
    target_language: Language
    group: str


def training_pairs(seed: int) -> Iterator[Pair]:
    """Yield pairs to learn from, without an end."""
    random = Random(seed)  # noqa: S311  (drawing is no secret)
    among = [template for template in templates().values() if not template.held_out]
    while True:
        notices = [draw(random, Share.TRAINING, among) for _ in range(2 if random.random() < TWO else 1)]
        source, target = random.sample(LANGUAGES, 2)
        joint = random.choice(JOINTS)
        pair = _pair(notices, (source, target), [_wording(one, source, random) for one in notices], joint)
        yield _as_seen(pair, random)


def held_out_pairs(seed: int, share: Share, count: int) -> Iterator[Pair]:
    """Yield pairs to measure with, single notices as they are written, the thirty directions in turn."""
    random = Random(seed)  # noqa: S311  (drawing is no secret)
    directions = [(source, target) for source in LANGUAGES for target in LANGUAGES if source != target]
    for index in range(count):
        yield _pair([draw(random, share)], directions[index % len(directions)], [0], "")


def without_accents(text: str) -> str:
    """Return a text as a reader gives it that misses accents; ß and œ stay."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))


def _wording(notice: Notice, language: Language, random: Random) -> int:
    others = len(notice.template.wordings[language]) - 1
    return random.randint(1, others) if others and random.random() < OTHER_WORDING else 0


def _pair(notices: list[Notice], languages: tuple[Language, Language], wordings: list[int], joint: str) -> Pair:
    source, target = languages
    return Pair(
        source=joint.join(one.say(source, wording) for one, wording in zip(notices, wordings, strict=True)),
        target=joint.join(one.say(target) for one in notices),
        source_language=source,
        target_language=target,
        group="; ".join(one.key for one in notices),
    )


def _as_seen(pair: Pair, random: Random) -> Pair:
    source, target = pair.source, pair.target
    if random.random() < SMALL:
        source, target = source.lower(), target.lower()
    if random.random() < BARE:
        source = without_accents(source)
    return Pair(source, target, pair.source_language, pair.target_language, pair.group)
