"""What a draft says and the evidence -> the findings of the report, and what is removed from it.

A claim that a finding is there needs a place in the picture. A claim that it is not there needs the answer no to a
closed question, in every picture, and no place in any. Whatever has no evidence is removed, with the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.applications.reporting.intended_use import IntendedUse
from domain.applications.reporting.reading import Certainty, Claim, Sentence, Side
from domain.applications.reporting.result import Assessed, Evidence, Measurement, Place, Removed, Told
from domain.applications.reporting.vocabulary import KnownFinding
from domain.geometry import Box
from domain.studies import StudyFacts

AS_LIKELY = 0.5
"""Where the answer yes has less, a finding is told as possible, however the draft tells it."""

Gathered = Mapping[str, tuple[Evidence, ...]]


@dataclass(frozen=True)
class Read:
    """A claim of the draft of one picture, and the sentence it stands in."""

    image: int
    claim: Claim
    sentence: str


@dataclass(frozen=True)
class Doubt:
    """A finding, by its id, that is seen on another side than the draft tells."""

    id: str
    told: Side


@dataclass(frozen=True)
class Decided:
    """What is left of the draft, and what is not."""

    findings: tuple[Told, ...]
    removed: tuple[Removed, ...]
    sides: tuple[Doubt, ...]


def claims(use: IntendedUse, drafts: Sequence[Sequence[Sentence]]) -> tuple[list[Read], list[Removed]]:
    """Return what the drafts say of the intended use's findings, and the sentences that say nothing of them."""
    read: list[Read] = []
    removed: list[Removed] = []
    for image, draft in enumerate(drafts):
        for sentence in draft:
            if sentence.problem is not None:
                told = f"it was not read: {sentence.problem}"
                removed.append(Removed(image=image, text=sentence.text, reason="unread", sentence=told))
            for claim in sentence.claims:
                one = Read(image, claim, sentence.text)
                if claim.finding in use.findings:
                    read.append(one)
                else:
                    removed.append(_out(one, "not-intended", f"{use.name} does not draft {claim.finding}"))
    return read, removed


def decide(use: IntendedUse, read: Sequence[Read], evidence: Gathered, facts: Sequence[StudyFacts | None]) -> Decided:
    """Hold each claim to the evidence. Findings come by their order in the intended use, what is there first."""
    found: list[Told] = []
    removed: list[Removed] = []
    sides: list[Doubt] = []
    order = {name: place for place, name in enumerate(use.findings)}
    taken: set[tuple[str, Side | None, bool]] = set()
    for one in sorted(read, key=lambda each: (not each.claim.present, order[each.claim.finding], each.image)):
        known = next(known for known in use.known if known.name == one.claim.finding)
        told = (
            _there(use, known, one, read, evidence, facts)
            if one.claim.present
            else _not_there(use, known, one, evidence)
        )
        if isinstance(told, Told) and (told.finding, told.side, told.present) in taken:
            told = _out(one, "repeated", "it is told already")
        if isinstance(told, Removed):
            removed.append(told)
            continue
        taken.add((told.finding, told.side, told.present))
        found.append(told.model_copy(update={"id": f"f{len(found) + 1}"}))
        seen = _place(one, evidence)
        if told.present and one.claim.side and seen and seen.side not in {None, one.claim.side}:
            sides.append(Doubt(found[-1].id, one.claim.side))
    return Decided(tuple(found), tuple(removed), tuple(sides))


def _place(one: Read, evidence: Gathered) -> Place | None:
    """Return the likeliest place of what a claim tells: on its side, else anywhere."""
    places = evidence[one.claim.finding][one.image].places
    there = [place for place in places if one.claim.side in {None, place.side}]
    return next(iter(there or places), None)


def _there(
    use: IntendedUse,
    known: KnownFinding,
    one: Read,
    read: Sequence[Read],
    evidence: Gathered,
    facts: Sequence[StudyFacts | None],
) -> Told | Removed:
    place = _place(one, evidence)
    if place is None:
        told = f"no place in picture {one.image + 1} scores {use.thresholds.box:g} or more for it"
        return _out(one, "no-evidence", told)
    if place.side not in {None, one.claim.side} and _both_told(one, read):
        return _out(one, "no-evidence", f"the places found for it are all on the {place.side} side")
    yes = evidence[known.name][one.image].yes
    side = place.side if one.claim.side in {None, place.side} else None
    return Told(
        id="",
        finding=known.name,
        region=known.region,
        present=True,
        side=side,
        certainty=Certainty.POSSIBLE if yes is not None and yes < AS_LIKELY else one.claim.certainty,
        image=one.image,
        box=place.box,
        score=place.score,
        measurement=_measured(use, known, place.box, facts[one.image]),
        said=one.sentence,
        left_out=tuple(_left_out(one.claim, side)),
    )


def _both_told(one: Read, read: Sequence[Read]) -> bool:
    """Say whether the draft of the picture tells the finding on either side."""
    sides = {
        each.claim.side
        for each in read
        if each.image == one.image and each.claim.present and each.claim.finding == one.claim.finding
    }
    return {"left", "right"} <= sides


def _not_there(use: IntendedUse, known: KnownFinding, one: Read, evidence: Gathered) -> Told | Removed:
    everywhere = evidence[known.name]
    if any(seen.places for seen in everywhere):
        return _out(one, "contradicted", "a place was found for it")
    shares = [None if seen.yes is None else 1 - seen.yes for seen in everywhere]
    sure = [no for no in shares if no is not None and no >= use.thresholds.absent]
    if len(sure) < len(shares):
        return _out(one, "no-evidence", f"the answer no has less than {use.thresholds.absent:g} in one of the pictures")
    return Told(
        id="",
        finding=known.name,
        region=known.region,
        present=False,
        side=None,  # the question was for either side, and so is the answer
        certainty=one.claim.certainty,
        image=one.image,
        box=None,
        score=min(sure),
        said=one.sentence,
        left_out=tuple(_left_out(one.claim, None)),
    )


def _measured(use: IntendedUse, known: KnownFinding, box: Box, facts: StudyFacts | None) -> Measurement | None:
    if known.measure is None or known.name not in use.measured or facts is None or facts.spacing is None:
        return None
    width, height = box.width * facts.spacing.column_mm, box.height * facts.spacing.row_mm
    length = width if known.measure == "width" else max(width, height)
    return Measurement(quantity=known.measure, length_mm=round(length, 1), source=facts.spacing.source)


def _left_out(claim: Claim, side: Side | None) -> Iterator[str]:
    if claim.side is not None and claim.side != side:
        yield claim.side
    if claim.size_mm is not None:
        yield f"{claim.size_mm:g} mm"
    yield from claim.details


def _out(one: Read, reason: str, why: str) -> Removed:
    told = {"image": one.image, "text": one.sentence, "finding": one.claim.finding, "reason": reason}
    return Removed.model_validate({**told, "sentence": why})


def assessed(use: IntendedUse, found: Sequence[Told]) -> tuple[Assessed, ...]:
    """Return what became of every finding of the intended use."""
    states = {one.finding: "present" if one.present else "absent" for one in reversed(found)}
    return tuple(
        Assessed.model_validate({"finding": name, "state": states.get(name, "not-assessed")}) for name in use.findings
    )
