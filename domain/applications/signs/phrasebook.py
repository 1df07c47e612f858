"""The phrasebook: finds the phrase that a text on a sign is, and says it in another language.

The phrases are in `phrasebook.toml`. A text is first looked up as it is (folded, spaces left out), then against the
phrases with slots, then, if neither knows it, among the phrases that share most letter triples with it, within the
edits that `spelling.word_edits` allows and no more than one in 17 letters, two in 29, three beyond. Words are neither
added nor dropped, so that no "no" is lost. A word of another phrase is never taken for a misread one.
"""

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import ne
from pathlib import Path

from domain.applications.signs.languages import PHRASEBOOK
from domain.applications.signs.spelling import Token, alike, edits, plain, tokens, word_edits

BOOK = Path(__file__).parent / "phrasebook.toml"
SLOTS = ("n", "name", "place")
CONNECTORS = frozenset(
    alike(word)
    for word in (
        "a",
        "al",
        "am",
        "an",
        "da",
        "das",
        "de",
        "del",
        "dei",
        "della",
        "der",
        "des",
        "di",
        "do",
        "dos",
        "du",
        "el",
        "en",
        "im",
        "in",
        "la",
        "las",
        "le",
        "les",
        "los",
        "of",
        "san",
        "santa",
        "santo",
        "sao",
        "saint",
        "sainte",
        "st",
        "sur",
        "the",
        "van",
        "von",
        "zu",
    )
)
"""Small words within a name."""
LONGEST_NAME = 4
SHARED_TRIPLES = 0.5
"""The share of a text's letter triples that a phrase must have for a closer look."""
_ELISION = re.compile(r"\b([Dd])e (?=[AEIOUÀÂÉÈÊÎÔÛ])")
"""French says "gare d'Avignon", not "gare de Avignon"."""


@dataclass(frozen=True)
class Phrase:
    """A phrase: its wordings by language, the first of which is written. A kept one stays as it stands."""

    id: str
    wordings: Mapping[str, tuple[str, ...]]
    kept: bool = False


@dataclass(frozen=True)
class Hit:
    """A phrase that a text may be, in one language; `ratio` is the share of letters that agree, in (0, 1]."""

    phrase: Phrase
    language: str
    ratio: float
    slots: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Pattern:
    """One wording, ready to be compared: words, figures and slots (`{n}`) in turn."""

    phrase: Phrase
    language: str
    parts: tuple[str, ...]
    letters: int
    literals: frozenset[str]
    """the words that must be there"""


Fit = tuple[int, dict[str, tuple[str, ...]]]
"""How many edits a fit takes, and what stands in each slot."""


class Phrasebook:
    """All phrases, indexed."""

    def __init__(self, phrases: Sequence[Phrase], places: Iterable[str], negations: Iterable[str]) -> None:
        self.phrases = {phrase.id: phrase for phrase in phrases}
        self.negations = frozenset(alike(plain(word)) for word in negations)
        self._places = frozenset(tuple(token.folded for token in tokens(place)) for place in places)
        self._exact: dict[str, list[Pattern]] = defaultdict(list)
        self._slotted: list[Pattern] = []
        self._triples: dict[str, list[str]] = defaultdict(list)
        for pattern in (pattern for phrase in phrases for pattern in _patterns(phrase)):
            if any(part[0] == "{" for part in pattern.parts):
                self._slotted.append(pattern)
            else:
                self._exact["".join(pattern.parts)].append(pattern)
        for key in self._exact:
            for triple in _triples(key):
                self._triples[triple].append(key)
        fixed = (word for patterns in self._exact.values() for pattern in patterns for word in pattern.literals)
        self.words = frozenset(fixed) | frozenset(word for pattern in self._slotted for word in pattern.literals)
        self._by_length: dict[int, list[str]] = defaultdict(list)
        for word in self.words:
            self._by_length[len(word)].append(word)
        self._anchors = frozenset(word for pattern in self._slotted for word in pattern.literals)

    def lookup(self, text: str, languages: Iterable[str] = PHRASEBOOK) -> tuple[Hit, ...]:
        """Return the best hits for a text: several, of like rank, where language or phrase is unclear."""
        seen = tokens(text)
        wanted = frozenset(languages)
        if not seen:
            return ()
        exact = [_hit(pattern, (0, {})) for pattern in self._exact.get(_key(seen), ()) if pattern.language in wanted]
        if exact:
            return _once(exact)
        slotted = [hit for hit in self._fill(text, seen) if hit.language in wanted]
        if any(not hit.phrase.kept for hit in slotted):
            return _best(slotted)
        # A misread `Einbahnstraße` could be a street's name too, which would be kept as it is.
        return _best([hit for hit in self._near(seen) if hit.language in wanted]) or _best(slotted)

    def negates(self, text: str) -> bool:
        """Say whether a text holds a word that turns a sentence round, in any language."""
        return any(token.folded in self.negations for token in tokens(text))

    def _fill(self, text: str, seen: Sequence[Token]) -> Iterator[Hit]:
        """Try the phrases with slots."""
        words = {token.folded for token in seen if token.kind == "word"}
        close = words & self._anchors
        for word in words - self.words:
            close |= {anchor for anchor in self._anchors if word_edits(word, anchor, company=len(text)) is not None}
        for pattern in self._slotted:
            if pattern.literals <= close:
                fit = self._fit(text, seen, pattern.parts, pattern.letters)
                if fit is not None:
                    yield _hit(pattern, fit)

    def _fit(self, text: str, seen: Sequence[Token], parts: Sequence[str], company: int) -> Fit | None:
        """Lay the parts of a pattern along the words of a text, from left to right."""
        if not parts or not seen:
            return None if parts or seen else (0, {})
        head, rest = parts[0], parts[1:]
        for length, cost in self._openings(text, seen, head, company):
            tail = self._fit(text, seen[length:], rest, company)
            if tail is not None:
                value = text[seen[0].start : seen[length - 1].end]
                slots = {head: (value, *tail[1].get(head, ()))} if head[0] == "{" else {}
                return cost + tail[0], {**tail[1], **slots}
        return None

    def _openings(self, text: str, seen: Sequence[Token], head: str, company: int) -> Iterator[tuple[int, int]]:
        """Yield how many words the head of a pattern may take, and at how many edits."""
        if head == "{n}":
            run = next((i for i, token in enumerate(seen) if token.kind != "number"), len(seen))
            yield from [(run, 0)] if run else []
        elif head in ("{name}", "{place}"):
            for length in range(min(LONGEST_NAME, len(seen)), 0, -1):
                known = tuple(token.folded for token in seen[:length]) in self._places
                if known or (head == "{name}" and self._is_name(text, seen[:length])):
                    yield length, 0
        elif head.startswith("{name}"):
            word = seen[0].folded
            if _compound(word, head.removeprefix("{name}")) and text[seen[0].start].isupper() and self._unknown(word):
                yield 1, 0
        elif head[0].isalpha():
            cost = self._edits(seen[0].folded, head, company)
            yield from [(1, cost)] if cost is not None else []
        elif seen[0].folded == head:
            yield 1, 0

    def _is_name(self, text: str, seen: Sequence[Token]) -> bool:
        """Say whether words may be a proper name: capitalised, and none of them a word of the phrasebook."""
        proper = [token for token in seen if token.folded not in CONNECTORS]
        return bool(proper) and all(
            token.kind == "word"
            and len(token.folded) > 1
            and text[token.start].isupper()
            and self._unknown(token.folded)
            and not self._nearly_negates(token.folded)
            for token in proper
        )

    def _unknown(self, word: str) -> bool:
        """Say whether a word is neither in the book nor, from five letters on, one other letter away from it."""
        like = self._by_length[len(word)] if len(word) >= 5 else ()
        return word not in self.words and not any(sum(map(ne, word, other)) == 1 for other in like)

    def _nearly_negates(self, word: str) -> bool:
        return any(edits(word, no, 2 if len(no) > 7 else 1 if len(no) > 4 else 0) is not None for no in self.negations)

    def _near(self, seen: Sequence[Token]) -> Iterator[Hit]:
        """Look for phrases without slots that a text is a misreading of."""
        key = _key(seen)
        triples = _triples(key)
        shared = Counter(other for triple in triples for other in self._triples.get(triple, ()))
        for other, count in shared.most_common(24):
            if count < SHARED_TRIPLES * len(triples):
                return
            for pattern in self._exact[other]:
                cost = self._distance(seen, key, pattern)
                if cost is not None:
                    yield _hit(pattern, (cost, {}))

    def _distance(self, seen: Sequence[Token], key: str, pattern: Pattern) -> int | None:
        """Return by how many edits a text may be a pattern, or None where it must not be."""
        if [token.folded for token in seen if token.kind == "number"] != [p for p in pattern.parts if p[0].isdigit()]:
            return None
        company = len(key)
        if len(seen) != len(pattern.parts):  # a space lost or gained, and then at most one letter
            meant = "".join(pattern.parts)
            return edits(key, meant, 1) if company >= 9 and not _has_a_word_more(seen, meant) else None
        total = 0
        for token, part in zip(seen, pattern.parts, strict=True):
            cost = 0 if token.folded == part else self._edits(token.folded, part, company)
            if cost is None:
                return None
            total += cost
        return total if total <= (1 if company < 18 else 2 if company < 30 else 3) else None

    def _edits(self, seen: str, meant: str, company: int) -> int | None:
        """Compare two words; one that is itself in the book is not a misreading of another."""
        return None if seen != meant and seen in self.words else word_edits(seen, meant, company=company)


def say(phrase: Phrase, language: str, slots: Mapping[str, Sequence[str]]) -> str:
    """Write a phrase in a language, with its names and figures as they stood."""
    text = phrase.wordings[language][0]
    for slot in SLOTS:
        for value in slots.get(f"{{{slot}}}", ()):
            text = text.replace(f"{{{slot}}}", value, 1)
    # a name may stand in for a place and the other way round: wordings choose what is natural in their language
    for slot, other in (("{place}", "{name}"), ("{name}", "{place}")):
        for value in slots.get(slot, ()):
            text = text.replace(other, value, 1)
    return _ELISION.sub(r"\1'", text) if language == "fr" else text


@cache
def phrasebook() -> Phrasebook:
    """Read the phrasebook that ships with the application."""
    told = tomllib.loads(BOOK.read_text("utf-8"))
    phrases = [
        Phrase(name, {code: tuple(row[code]) for code in PHRASEBOOK}, kept=row.get("kept", False))
        for name, row in told["phrase"].items()
    ]
    return Phrasebook(phrases, told["places"], told["negations"])


def _patterns(phrase: Phrase) -> Iterator[Pattern]:
    for language, wordings in phrase.wordings.items():
        for wording in wordings:
            parts = tuple(_parts(wording))
            letters = sum(len(part) for part in parts if part[0] != "{")
            literals = frozenset(part for part in parts if part[0].isalpha())
            yield Pattern(phrase, language, parts, letters, literals)


def _parts(wording: str) -> Iterator[str]:
    """Split a wording into folded words, figures and slots; a slot with a word behind it (`{name}straße`) stays one."""
    for piece in wording.split():
        if piece in ("{n}", "{name}", "{place}"):
            yield piece
        elif piece.startswith("{name}"):
            yield "{name}" + alike(plain(piece.removeprefix("{name}")))
        else:
            yield from (token.folded for token in tokens(piece))


def _compound(word: str, ending: str) -> bool:
    return word.endswith(ending) and len(word) >= len(ending) + 3


def _key(seen: Sequence[Token]) -> str:
    return "".join(token.folded for token in seen)


def _has_a_word_more(seen: Sequence[Token], meant: str) -> bool:
    """Say whether a text is a phrase and one letter that stands alone: what is left of `No`, perhaps."""
    words = [token.folded for token in seen]
    return any("".join(words[:at] + words[at + 1 :]) == meant for at, word in enumerate(words) if len(word) == 1)


def _triples(key: str) -> list[str]:
    return [key[i : i + 3] for i in range(max(1, len(key) - 2))]


def _hit(pattern: Pattern, fit: Fit) -> Hit:
    cost, slots = fit
    return Hit(pattern.phrase, pattern.language, 1 - cost / max(pattern.letters, 1), slots)


def _best(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    """Keep the hits of the highest rank: what translates before what is kept, then the fewest edits."""
    if not hits:
        return ()
    rank = max((not hit.phrase.kept, hit.ratio) for hit in hits)
    return _once([hit for hit in hits if (not hit.phrase.kept, hit.ratio) == rank])


def _once(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    return tuple({(hit.phrase.id, hit.language): hit for hit in hits}.values())
