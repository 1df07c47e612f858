"""One form of a text for matching, and banned phrases found in it however they are disguised.

Folding (`fold`) is letter by letter and the same for a phrase and for a text: compatibility forms and case are made
one (NFKD, casefold), marks and invisible characters go, letters that look like Latin ones become these, and a letter
repeated three times or more is kept three times. Each folded character remembers where it stood.

What would turn one word into another is not folded but read both ways, by the phrase (`Phrase`):

- A digit or sign may stand for a letter (`p1lls`), as long as two characters of the phrase are no digits: `455` is a
  number, and `A55` the name of something.
- A letter may be written three times or more for once or twice, never twice for once: `god` is not found in `good`.
- The letters of the phrase may stand apart (`p i l l s`, `p.i.l.l.s`) if all of them do, and if they are the whole of
  such a run: `ass` is not found in `c l a s s i c`, nor is `pen is` read as one word.
- A phrase begins and ends where words do: `ass` is not found in `classic`.

So in a text of ordinary words a phrase is found where it stands word for word, and nowhere else. What looks wholly
like a banned word in another script is found as that word; a reader could not tell the two apart either.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from domain.applications.moderation.look_alikes import LOOK_ALIKES, SIGNS

MOST_REPEATS = 3
"""So many of the same letter are kept; where a word has more, it was stretched."""
INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800")
"""Blanks that Unicode takes for letters or symbols."""
LEAST_SOLID = 2
"""So many characters of a phrase must be no digits that stand for letters."""

_APART = r"[ \t.\-_*/·•,~]{1,3}"
_ONE = r"(?:[^\W_]|[@$!|+€])"
_SPELLED = re.compile(rf"(?<!\w){_ONE}({_APART}){_ONE}(?:\1{_ONE})+(?!\w)")
"""A run of single letters, all equally far apart."""
_BETWEEN = r"[\W_]+"
_SOLID = re.compile(_ONE)
_MONEY = re.compile(r"\$(?=\d)")
_HOST = re.compile(r"@(?=[\w-]+(?:\.[\w-]+)+)")

Pair = tuple[str, int]
"""A folded character, and where it comes from."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text: from `start` up to `end`, in characters of the text as it stood."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text. `at` says for each of its characters which character of the text it comes from."""

    text: str
    at: tuple[int, ...]

    def span(self, start: int, end: int) -> Span:
        """Return where a part of the folded text stood; `end` is after `start`."""
        return Span(self.at[start], self.at[end - 1] + 1)


def fold(text: str) -> Folded:
    """Return the folded text."""
    return _folded(_collapsed(_letters(text)))


def plain(text: str) -> Folded:
    """Return the text folded but for repetitions: numbers and addresses keep their length."""
    return _folded(_letters(text))


def _folded(pairs: Iterable[Pair]) -> Folded:
    told = tuple(pairs)
    return Folded("".join(letter for letter, _ in told), tuple(place for _, place in told))


def _letters(text: str) -> Iterator[Pair]:
    for place, sign in enumerate(text):
        for letter in _folded_sign(sign):
            yield letter, place


@lru_cache(maxsize=4096)
def _folded_sign(sign: str) -> str:
    if sign in INVISIBLE or unicodedata.category(sign) == "Cf":
        return ""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", sign).casefold())
    bare = "".join(part for part in apart if not unicodedata.combining(part))
    return "".join(LOOK_ALIKES.get(letter, letter) for letter in bare)


def _collapsed(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Keep MOST_REPEATS of a longer run of the same character: the first ones and the last."""
    for _, run in groupby(pairs, key=lambda pair: pair[0]):
        several = list(run)
        yield from several if len(several) <= MOST_REPEATS else (*several[: MOST_REPEATS - 1], several[-1])


class Text:
    """A text as phrases are looked for in it."""

    def __init__(self, text: str) -> None:
        as_written = _settled(fold(text))
        words = [_spelled(as_written, run) for run in _SPELLED.finditer(as_written.text)]
        self._readings = (as_written, _joined(as_written)) if words else (as_written,)
        self._words = tuple(words)

    def find(self, phrase: "Phrase") -> list[Span]:
        """Return where a phrase stands, from the front, without overlaps."""
        found = {span for reading in self._readings for span in phrase.spans(reading)}
        found |= {span for word in self._words for span in phrase.whole(word)}
        kept: list[Span] = []
        for span in sorted(found, key=lambda one: (one.start, -one.end)):
            if not kept or span.start >= kept[-1].end:
                kept.append(span)
        return kept


def _settled(folded: Folded) -> Folded:
    """Return the folded text with the signs blanked that stand for no letter here: of prices, and before hosts."""
    return Folded(_HOST.sub(" ", _MONEY.sub(" ", folded.text)), folded.at)


def _spelled(folded: Folded, run: re.Match[str]) -> Folded:
    """Return the letters of a spelled-out word, put together."""
    pairs = zip(run[0], folded.at[run.start() : run.end()], strict=True)
    return _folded(_collapsed(pair for pair in pairs if _SOLID.match(pair[0])))


def _joined(folded: Folded) -> Folded:
    """Return the folded text with the letters of each spelled-out word put together."""
    pairs = list(zip(folded.text, folded.at, strict=True))
    kept: list[Pair] = []
    done = 0
    for run in _SPELLED.finditer(folded.text):
        word = _spelled(folded, run)
        kept += [*pairs[done : run.start()], *zip(word.text, word.at, strict=True)]
        done = run.end()
    return _folded([*kept, *pairs[done:]])


class Phrase:
    """A banned phrase, ready to be looked for. Raises ValueError where nothing of it is left to look for."""

    def __init__(self, phrase: str) -> None:
        words = re.findall(r"[^\W_]+", fold(phrase).text)
        if not words:
            raise ValueError(f"the phrase {phrase!r} has no letter or digit to look for")
        self._written = _written(phrase)
        self._digits = sum(letter.isdigit() for word in words for letter in word)
        self._lettered = any(letter.isalpha() for word in words for letter in word)
        each = [_pattern(word) for word in words]
        self._pattern = re.compile(rf"(?<![^\W_]){_BETWEEN.join(each)}(?![^\W_])")
        self._together = re.compile("".join(each))

    def spans(self, folded: Folded) -> Iterator[Span]:
        """Yield where the phrase stands in a folded text."""
        for match in self._pattern.finditer(folded.text):
            if self._told(match[0]):
                yield folded.span(match.start(), match.end())

    def whole(self, word: Folded) -> Iterator[Span]:
        """Yield where a spelled-out word stands, if it is the whole phrase, its blanks left out."""
        if self._together.fullmatch(word.text) and self._told(word.text):
            yield word.span(0, len(word.text))

    def plainly(self, quote: str) -> bool:
        """Say whether a quotation has the phrase as it is written, but for case and blanks."""
        return _written(quote) == self._written

    def _told(self, match: str) -> bool:
        """Say whether enough of a match is letters, and no number."""
        solid = _SOLID.findall(match)
        substituted = sum(letter.isdigit() for letter in solid) - self._digits
        lettered = any(letter.isalpha() for letter in solid) or not self._lettered
        return lettered and len(solid) - substituted >= min(LEAST_SOLID, len(solid))


def _written(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _pattern(word: str) -> str:
    """Return a pattern of a folded word: its letters, what may stand for them, and their repetitions."""
    return "".join(_repeated(letter, len(list(run))) for letter, run in groupby(word))


def _repeated(letter: str, count: int) -> str:
    readings = letter + SIGNS.get(letter, "")
    once = f"[{re.escape(readings)}]"
    if count > 1:
        return f"{once}{{{count},{MOST_REPEATS}}}"
    stretched = "|".join(re.escape(sign * MOST_REPEATS) for sign in readings)
    return f"(?:{stretched}|{once})"


@lru_cache(maxsize=2048)
def phrase(text: str) -> Phrase:
    """Return a phrase, ready to be looked for, and keep it. Raises ValueError as `Phrase` does."""
    return Phrase(text)
