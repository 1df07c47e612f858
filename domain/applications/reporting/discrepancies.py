"""Where the order, the files, the draft, the prior report and what is seen do not agree.

Silence agrees with everything: only two things that are told can differ. What could put a finding on the wrong patient
side, or a report on the wrong examination, blocks signing until a person has resolved it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from domain.applications.reporting.decide import Decided, Gathered
from domain.applications.reporting.intended_use import IntendedUse
from domain.applications.reporting.parameters import ReportingParameters
from domain.applications.reporting.result import Change, Compared, Discrepancy
from domain.applications.reporting.technique import told_contrast, told_modalities
from domain.applications.reporting.vocabulary import vocabulary
from domain.studies import StudyFacts

LATERALITIES: Mapping[str, str] = {"L": "left", "R": "right", "B": "both", "U": "none"}
"""Laterality of a file (0020,0060) as an order tells it."""
SAME_AGE_YEARS = 1.0
"""An order may be older than the examination, and a file tells whole years."""

Facts = Sequence[StudyFacts | None]


@dataclass(frozen=True)
class _Found:
    code: str
    sentence: str
    blocking: bool = True


def before_drafting(use: IntendedUse, order: ReportingParameters, facts: Facts) -> tuple[Discrepancy, ...]:
    """Return where the files differ from the order."""
    return _named(found for one in facts if one is not None for found in _files(use, order, one))


def after_drafting(
    use: IntendedUse,
    order: ReportingParameters,
    facts: Facts,
    drafts: Sequence[str],
    decided: Decided,
    evidence: Gathered,
    comparison: Sequence[Compared],
) -> tuple[Discrepancy, ...]:
    """Return where the files differ from the order, and the draft from either or from what is seen."""
    files = (found for one in facts if one is not None for found in _files(use, order, one))
    return _named(
        (
            *files,
            *(found for draft in drafts for found in _technique(order, facts, draft)),
            *_sides(order, decided),
            *_evidence(use, decided, evidence),
            *_prior(comparison),
        )
    )


def _named(found: Iterable[_Found]) -> tuple[Discrepancy, ...]:
    """Name each by what it says, so that who resolved one has not resolved another that comes in its place."""
    return tuple(
        Discrepancy(
            id=f"{one.code}-{sha256(one.sentence.encode()).hexdigest()[:8]}",
            code=one.code,
            sentence=one.sentence,
            blocking=one.blocking,
        )
        for one in dict.fromkeys(found)
    )


def _files(use: IntendedUse, order: ReportingParameters, facts: StudyFacts) -> Iterator[_Found]:
    modality, part = facts.modality.strip().upper(), facts.body_part.strip().upper()
    if order.modality and modality and not _alike(order.modality, modality):
        yield _Found("modality", f"the order says {order.modality}, the file {modality}")
    if order.body_part and part and order.body_part != part and not {order.body_part, part} <= set(use.body_parts):
        yield _Found("body-part", f"the order says {order.body_part}, the file {part}")
    side = LATERALITIES.get(facts.laterality.strip().upper())
    if order.laterality and side and order.laterality != side:
        yield _Found("laterality", f"the order says {order.laterality}, the file {side}")
    if order.contrast is not None and facts.contrast is not None and order.contrast != facts.contrast:
        yield _Found("contrast", f"the order says {_agent(order.contrast)}, the file {_agent(facts.contrast)}")
    view = facts.view.strip().upper()
    if order.view and view and order.view != view:
        yield _Found("view", f"the order says {order.view}, the file {view}", blocking=False)
    ordered, found = order.age_years, facts.age_years
    if ordered is not None and found is not None and abs(ordered - found) > SAME_AGE_YEARS:
        yield _Found("age", f"the order says {ordered:g} years, the file {found:g}: is it the same patient?")


def _alike(one: str, other: str) -> bool:
    """Say whether two modalities are the same, or read alike, as CR and DX are."""
    return one == other or any({one, other} <= set(codes.split()) for codes in vocabulary().technique.modalities)


def _technique(order: ReportingParameters, facts: Facts, draft: str) -> Iterator[_Found]:
    taken = {told for told in (order.modality, *(one.modality for one in facts if one is not None)) if told}
    for codes in told_modalities(draft):
        if taken and not codes & taken:
            was = " and ".join(sorted(taken))
            yield _Found("modality", f"the draft speaks of {' or '.join(sorted(codes))}, the examination is {was}")
    agents = {
        told for told in (order.contrast, *(one.contrast for one in facts if one is not None)) if told is not None
    }
    drafted = told_contrast(draft)
    if drafted is not None and agents and agents != {drafted}:
        yield _Found("contrast", f"the draft says {_agent(drafted)}, the examination was {_agent(not drafted)}")


def _sides(order: ReportingParameters, decided: Decided) -> Iterator[_Found]:
    for doubt in decided.sides:
        one = next(one for one in decided.findings if one.id == doubt.id)
        told = f"the draft tells {one.finding} on the {doubt.told}, and the place found for it is on the other side"
        yield _Found("side", f"{told} ({doubt.id})")
    if order.laterality in {"left", "right"}:
        for one in decided.findings:
            if one.present and one.side not in {None, order.laterality}:
                told = f"the order is for the {order.laterality} side, and {one.finding} is told on the {one.side}"
                yield _Found("laterality", f"{told} ({one.id})")


def _evidence(use: IntendedUse, decided: Decided, evidence: Gathered) -> Iterator[_Found]:
    for one in decided.removed:
        if one.reason == "contradicted":
            told = f"the draft denies {one.finding}, and a place was found for it in a picture"
            yield _Found("contradiction", told)
    drafted = {one.finding for one in decided.findings if one.present}
    for name, seen in evidence.items():
        sure = [one.yes for one in seen if one.yes is not None and one.yes >= use.thresholds.present]
        if sure and name not in drafted:
            told = f"{name} is not in the report, and when asked the model says yes ({max(sure):.2f})"
            yield _Found("not-in-draft", told, blocking=False)


def _prior(comparison: Sequence[Compared]) -> Iterator[_Found]:
    for one in comparison:
        if one.change is Change.OTHER_SIDE:
            yield _Found("prior-side", one.sentence.rstrip("."))


def _agent(given: bool) -> str:
    return "with contrast" if given else "without contrast"
