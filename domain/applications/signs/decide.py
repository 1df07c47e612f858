"""Which translation a line gets: the tenant's memory, then the phrasebook, then a model, else none.

Nothing here looks at pixels. What has to be asked of others (the memory, which language, a model) comes in as `Ask`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from domain.applications.signs.languages import AUTO, PHRASEBOOK
from domain.applications.signs.phrasebook import Hit, Phrasebook, say
from domain.applications.signs.schema import Provenance, SignsParameters
from domain.vision import Translation

LONGEST_BLOCK = 4
"""Lines that one phrase may take."""

LanguageBy = Literal["request", "memory", "phrasebook", "company", "identified"]


class Ask(Protocol):
    """What a decision may ask of others."""

    def recall(self, text: str, source: str) -> str | None:
        """Return what the tenant's memory has for a text in a language."""

    def identify(self, text: str, candidates: Sequence[str]) -> str | None:
        """Return which of the languages a text is in, where that is sure enough; None otherwise."""

    def translate(self, text: str, source: str) -> Translation | None:
        """Return a model's translation, None where none is configured, or it does not serve the languages."""


@dataclass(frozen=True)
class Unit:
    """Lines that are translated together: their place in the chain, their texts, and what the phrasebook has for them.

    A unit is `turned` when something beside it turns its sentence round: then it must not be translated by itself.
    """

    first: int
    texts: tuple[str, ...]
    hits: tuple[Hit, ...] = ()
    turned: bool = False

    @property
    def text(self) -> str:
        """The lines in one."""
        return " ".join(self.texts)


@dataclass(frozen=True)
class Outcome:
    """What a unit says in the target language, and why."""

    provenance: Provenance
    translation: str | None = None
    language: str | None = None
    language_by: LanguageBy | None = None
    phrase: str | None = None
    match: float | None = None
    model: str | None = None


def units(texts: Sequence[str], book: Phrasebook, parameters: SignsParameters) -> list[Unit]:
    """Cut a chain of lines into units, the longest that the phrasebook knows first."""
    wanted = PHRASEBOOK if parameters.source == AUTO else (parameters.source, parameters.target)
    found, start = [], 0
    while start < len(texts):
        unit = next(_candidates(texts, start, book, wanted))
        found.append(unit)
        start += len(unit.texts)
    return found


def merged(found: Sequence[Unit], book: Phrasebook, parameters: SignsParameters, ask: Ask) -> list[Unit]:
    """Put neighbouring lines of a chain that no phrase accounts for together: a model needs whole sentences.

    Not across languages, and not where the memory has the line by itself.
    """
    whole: list[Unit] = []
    for unit in found:
        if whole and _continue(whole[-1], unit, parameters, ask):
            both = replace(whole[-1], texts=whole[-1].texts + unit.texts)
            turned = (whole[-1].turned or unit.turned) and not book.negates(both.text)
            whole[-1] = replace(both, turned=turned)
        else:
            whole.append(unit)
    return whole


def _continue(above: Unit, below: Unit, parameters: SignsParameters, ask: Ask) -> bool:
    """Say whether two units may be one sentence."""
    if above.hits or below.hits:
        return False
    pair = above, below
    codes = PHRASEBOOK if parameters.source == AUTO else (parameters.source,)
    if any(_remembered(unit.text, codes, None, None, parameters, ask) for unit in pair):
        return False
    languages = {ask.identify(unit.text, ()) for unit in pair} - {None} if parameters.source == AUTO else set()
    return len(languages) <= 1


def _candidates(texts: Sequence[str], start: int, book: Phrasebook, wanted: Sequence[str]) -> Iterator[Unit]:
    """Yield the units that may begin at a line: blocks that the phrasebook knows, longest first, then the line."""
    for length in range(min(LONGEST_BLOCK, len(texts) - start), 1, -1):
        lines = tuple(texts[start : start + length])
        hits = book.lookup(" ".join(lines), wanted)
        if hits and not hits[0].phrase.kept:
            yield Unit(start, lines, hits)
    yield Unit(start, (texts[start],), book.lookup(texts[start], wanted))


def company(found: Sequence[Unit]) -> str | None:
    """Return the language that the unmistakable phrases of an image are in, where they are in one."""
    languages = Counter(unit.hits[0].language for unit in found if len({hit.language for hit in unit.hits}) == 1)
    return next(iter(languages)) if len(languages) == 1 else None


def outcome(unit: Unit, neighbours: str | None, parameters: SignsParameters, ask: Ask) -> Outcome:
    """Decide on one unit."""
    hit, language, told_by = _phrase(unit, neighbours, parameters, ask)
    known = [language] if language else sorted({hit.language for hit in unit.hits}) or list(PHRASEBOOK)
    remembered = _remembered(unit.text, known, language, told_by, parameters, ask)
    if remembered is not None:
        return remembered
    if hit is not None:
        return _said(unit, hit, language, told_by, parameters.target)
    if unit.turned:
        return Outcome(Provenance.UNTRANSLATED, None, language, told_by)
    if language is None and not unit.hits:
        language = ask.identify(unit.text, ())
        told_by = "identified" if language else None
        if language is not None and language not in known:
            remembered = _remembered(unit.text, [language], language, told_by, parameters, ask)
            if remembered is not None:
                return remembered
    return _modelled(unit.text, language, told_by, parameters.target, ask)


def _phrase(
    unit: Unit, neighbours: str | None, parameters: SignsParameters, ask: Ask
) -> tuple[Hit | None, str | None, LanguageBy | None]:
    """Choose the phrase and the language of a unit; no phrase where two are equally likely."""
    given: str | None = None if parameters.source == AUTO else parameters.source
    languages = {hit.language for hit in unit.hits}
    if given is not None:
        hit = next((hit for hit in unit.hits if hit.language == given), None)
        if hit is None and parameters.target in languages:
            return next(hit for hit in unit.hits if hit.language == parameters.target), parameters.target, "phrasebook"
        return hit, given, "request"
    if not unit.hits:
        return None, None, None
    if len(languages) == 1 and len(unit.hits) == 1:
        return unit.hits[0], unit.hits[0].language, "phrasebook"
    for code, told_by in ((neighbours, "company"), (_identified(unit, languages, ask), "identified")):
        fitting = [hit for hit in unit.hits if hit.language == code]
        if len(fitting) == 1:
            return fitting[0], code, "company" if told_by == "company" else "identified"
    one_phrase = len({hit.phrase.id for hit in unit.hits}) == 1
    return (unit.hits[0] if one_phrase else None), None, None


def _identified(unit: Unit, languages: set[str], ask: Ask) -> str | None:
    """Ask which of the languages of its hits a unit is in, unless it reads the same in all of them."""
    return None if unit.hits[0].phrase.kept else ask.identify(unit.text, sorted(languages))


def _remembered(
    text: str,
    codes: Sequence[str],
    language: str | None,
    told_by: LanguageBy | None,
    parameters: SignsParameters,
    ask: Ask,
) -> Outcome | None:
    for code in codes:
        translation = ask.recall(text, code) if code != parameters.target else None
        if translation is not None:
            by = told_by if language else "memory"
            return Outcome(Provenance.MEMORY, translation, language=code, language_by=by)
    return None


def _said(unit: Unit, hit: Hit, language: str | None, told_by: LanguageBy | None, target: str) -> Outcome:
    """Say a phrase in the target language."""
    languages = {hit.language} if language else {other.language for other in unit.hits}
    if target in languages and not hit.phrase.kept:
        return Outcome(Provenance.SAME_LANGUAGE, unit.text, language, told_by)
    if hit.phrase.kept:
        translation = unit.text
    elif target in hit.phrase.wordings:
        translation = cased(say(hit.phrase, target, hit.slots), unit.text)
    else:
        return Outcome(Provenance.UNTRANSLATED, None, language, told_by)
    return Outcome(
        Provenance.PHRASEBOOK, translation, language, told_by, phrase=hit.phrase.id, match=round(hit.ratio, 3)
    )


def _modelled(text: str, language: str | None, told_by: LanguageBy | None, target: str, ask: Ask) -> Outcome:
    """Let a model translate, where there is one, the language is known, and the model answers for what it says."""
    if language == target:
        return Outcome(Provenance.SAME_LANGUAGE, text, language, told_by)
    translated = ask.translate(text, language) if language else None
    if translated is None or translated.text is None:
        return Outcome(Provenance.UNTRANSLATED, None, language, told_by)
    return Outcome(Provenance.MODEL, translated.text, language, told_by, model=translated.model)


def cased(translation: str, source: str) -> str:
    """Write a translation in capitals where most of the sign is (a misread letter may be small); units stay small."""
    letters = [letter for letter in source if letter.isalpha()]
    if len(letters) < 2 or sum(letter.isupper() for letter in letters) < 0.7 * len(letters):
        return translation
    return " ".join(word if word in ("km/h", "km", "m", "t") else word.upper() for word in translation.split())
