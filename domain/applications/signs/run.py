"""Runs the application: read, put in order, decide, measure."""

from collections.abc import Sequence

from domain.applications.application import Case
from domain.applications.signs.decide import Outcome, Unit, company, outcome, units
from domain.applications.signs.languages import NAMES
from domain.applications.signs.layout import Line, chains, letter_height, measured, reading_order, shares, widened
from domain.applications.signs.phrasebook import phrasebook
from domain.applications.signs.schema import Block, Overlay, Region, SignsParameters, SignsResult
from domain.vision import Picture, Translation


def run(case: Case[SignsParameters]) -> SignsResult:
    """Read and translate every picture of a job."""
    regions: list[Region] = []
    left_out = 0
    for image, picture in enumerate(case.pictures):
        seen = case.vision.read(picture)
        sure = [measured(region) for region in seen if region.confidence >= case.parameters.min_confidence]
        left_out += len(seen) - len(sure)
        regions += _translated(case, image, picture, reading_order(sure))
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
        """Return a model's translation, None where none is configured."""
        return self._case.vision.translate(text, source, self._case.parameters.target)


def _translated(case: Case[SignsParameters], image: int, picture: Picture, lines: Sequence[Line]) -> list[Region]:
    """Translate the lines of one picture, given in reading order."""
    ask, book = CaseAsk(case), phrasebook()
    order = {id(line): number for number, line in enumerate(lines)}
    cut = [
        (chain, unit)
        for chain in chains(lines)
        for unit in units([line.region.text for line in chain], book, case.parameters)
    ]
    neighbours = company([unit for _, unit in cut])
    regions = []
    for chain, unit in cut:
        told = outcome(unit, neighbours, case.parameters, ask)
        members = chain[unit.first : unit.first + len(unit.texts)]
        numbers = tuple(order[id(line)] for line in members)
        regions += [
            _region(case, picture, (line, widened(line, members)), told, block, share, (image, number))
            for line, (block, share), number in zip(members, _blocks(unit, told, numbers), numbers, strict=True)
        ]
    return sorted(regions, key=lambda region: region.order)


def _blocks(unit: Unit, told: Outcome, numbers: tuple[int, ...]) -> list[tuple[Block | None, str | None]]:
    """Return the block of each line of a unit and the line's share of the translation."""
    if len(numbers) == 1 or told.translation is None:
        return [(None, told.translation) for _ in numbers]
    block = Block(lines=numbers, text=unit.text, translation=told.translation)
    return [(block, share) for share in shares(told.translation, len(numbers))]


def _region(
    case: Case[SignsParameters],
    picture: Picture,
    line: tuple[Line, Line],
    told: Outcome,
    block: Block | None,
    share: str | None,
    place: tuple[int, int],
) -> Region:
    seen, room = line[0].region, line[1]
    overlay = Overlay(
        quad=room.region.quad,
        angle=room.angle,
        font_px=letter_height(room, share or seen.text),
        palette=case.vision.palette(picture, seen.quad),
    )
    return Region(
        image=place[0],
        order=place[1],
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
