"""Runs the application: read, put in order, decide, measure."""

from collections.abc import Sequence
from dataclasses import replace

from domain.applications.application import Case
from domain.applications.signs.decide import Outcome, Unit, company, merged, outcome, units
from domain.applications.signs.languages import NAMES
from domain.applications.signs.layout import Line, chains, letter_height, measured, near, reading_order, shares, widened
from domain.applications.signs.phrasebook import phrasebook
from domain.applications.signs.schema import Block, Overlay, Region, SignsParameters, SignsResult
from domain.errors import LanguageUnserved
from domain.vision import Picture, Translation


def run(case: Case[SignsParameters]) -> SignsResult:
    """Read and translate every picture of a job."""
    regions: list[Region] = []
    left_out = 0
    for image, picture in enumerate(case.pictures):
        seen = case.vision.read(picture)
        lines = [measured(region) for region in seen]
        sure = [line for line in lines if line.region.confidence >= case.parameters.min_confidence]
        unsure = [line for line in lines if line.region.confidence < case.parameters.min_confidence]
        left_out += len(unsure)
        regions += _translated(case, (image, picture), reading_order(sure), unsure)
    parameters = case.parameters
    return SignsResult(target=parameters.target, source=parameters.source, regions=tuple(regions), left_out=left_out)


class CaseAsk:
    """Puts the questions of a decision to the tenant's memory and to the models, each only once."""

    def __init__(self, case: Case[SignsParameters]) -> None:
        self._case = case
        self._languages: dict[tuple[str, tuple[str, ...]], str | None] = {}

    def recall(self, text: str, source: str) -> str | None:
        """Return what the tenant's memory has for a text in a language."""
        return self._case.memory.recall(text, source, self._case.parameters.target)

    def identify(self, text: str, candidates: Sequence[str]) -> str | None:
        """Return which language a text is in, of all where no candidates are named; None below the asked score."""
        asked = text, tuple(candidates) or tuple(NAMES)
        if asked not in self._languages:
            told = self._case.vision.identify(*asked)
            sure = told is not None and told.score >= self._case.parameters.min_language_score
            self._languages[asked] = told.code if told is not None and sure else None
        return self._languages[asked]

    def translate(self, text: str, source: str) -> Translation | None:
        """Return a model's translation, None where none is configured, or it does not serve the languages."""
        try:
            return self._case.vision.translate(text, source, self._case.parameters.target)
        except LanguageUnserved:
            return None


def _translated(
    case: Case[SignsParameters], shown: tuple[int, Picture], lines: Sequence[Line], unsure: Sequence[Line]
) -> list[Region]:
    """Translate the lines of one picture, given in reading order; what was read unsurely may still turn a sentence."""
    ask = CaseAsk(case)
    order = {id(line): number for number, line in enumerate(lines)}
    cut = _cut(chains(lines), unsure, case.parameters, ask)
    neighbours = company([unit for _, unit in cut])
    regions = []
    for members, unit in cut:
        told = outcome(unit, neighbours, case.parameters, ask)
        numbers = tuple(order[id(line)] for line in members)
        regions += [
            _region(case, shown, (line, widened(line, members)), told, block, share, number)
            for line, (block, share), number in zip(members, _blocks(unit, told, numbers), numbers, strict=True)
        ]
    return sorted(regions, key=lambda region: region.order)


def _cut(
    chained: Sequence[Sequence[Line]], unsure: Sequence[Line], parameters: SignsParameters, ask: CaseAsk
) -> list[tuple[Sequence[Line], Unit]]:
    """Cut the chains of a picture into units, each with its lines.

    A negation that no phrase accounts for turns what stands around it: "NO" over "ENTRY AFTER 9" must not end as
    "entry". Units in its chain or near it lose their phrases.
    """
    book = phrasebook()
    found = [units([line.region.text for line in chain], book, parameters) for chain in chained]
    negating = [line for line in unsure if book.negates(line.region.text)]
    for chain, cut in zip(chained, found, strict=True):
        negating += [
            line for unit in cut if not unit.hits and book.negates(unit.text) for line in _members(chain, unit)
        ]

    def checked(chain: Sequence[Line], unit: Unit) -> Unit:
        safe = book.negates(unit.text) or bool(unit.hits and unit.hits[0].phrase.kept)
        beside = any(near(line, no) or no in chain for line in _members(chain, unit) for no in negating)
        return unit if safe or not beside else replace(unit, hits=(), turned=True)

    return [
        (_members(chain, unit), unit)
        for chain, cut in zip(chained, found, strict=True)
        for unit in merged([checked(chain, unit) for unit in cut], book, parameters, ask)
    ]


def _members(chain: Sequence[Line], unit: Unit) -> Sequence[Line]:
    return chain[unit.first : unit.first + len(unit.texts)]


def _blocks(unit: Unit, told: Outcome, numbers: tuple[int, ...]) -> list[tuple[Block | None, str | None]]:
    """Return the block of each line of a unit and the line's share of the translation."""
    if len(numbers) == 1 or told.translation is None:
        return [(None, told.translation) for _ in numbers]
    block = Block(lines=numbers, text=unit.text, translation=told.translation)
    return [(block, share) for share in shares(told.translation, len(numbers))]


def _region(
    case: Case[SignsParameters],
    shown: tuple[int, Picture],
    line: tuple[Line, Line],
    told: Outcome,
    block: Block | None,
    share: str | None,
    order: int,
) -> Region:
    """Put a region together from its line, the room that its translation has, and what was decided."""
    seen, room = line[0].region, line[1]
    overlay = Overlay(
        quad=room.region.quad,
        angle=room.angle,
        font_px=letter_height(room, share or seen.text),
        palette=case.vision.palette(shown[1], seen.quad),
    )
    return Region(
        image=shown[0],
        order=order,
        quad=seen.quad,
        text=seen.text,
        confidence=seen.confidence,
        language=told.language,
        language_by=told.language_by,
        translation=share,
        provenance=told.provenance,
        phrase=told.phrase,
        match=told.match,
        model=told.model,
        block=block,
        overlay=overlay,
    )
