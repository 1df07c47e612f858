"""A draft: is it of the intended use, what does the model write, what is there evidence for, what does not agree."""

from collections.abc import Mapping

from pydantic import ValidationError

from domain.applications.application import Case
from domain.applications.reporting import discrepancies
from domain.applications.reporting.applicability import abstentions
from domain.applications.reporting.comparison import compared
from domain.applications.reporting.decide import Decided, assessed, claims, decide
from domain.applications.reporting.evidence import gathered
from domain.applications.reporting.intended_use import KIND, IntendedUse, shipped
from domain.applications.reporting.parameters import ReportingParameters
from domain.applications.reporting.reading import sentences
from domain.applications.reporting.result import Order, ReportingResult, UsedIntendedUse
from domain.applications.reporting.wording import impression, report_sentences
from domain.errors import InvalidParameters
from domain.problems import field_problems
from domain.studies import StudyFacts


def run(case: Case[ReportingParameters]) -> ReportingResult:
    """Draft a report, or say why there is none.

    Raises InvalidParameters where there is no such intended use, and whatever the models raise: an error is no draft.
    """
    asked = case.parameters
    use, used = _intended_use(case)
    facts = _facts(case)
    base = ReportingResult(
        order=_order(asked),
        facts=facts,
        intended_use=used,
        sizes=tuple((picture.width, picture.height) for picture in case.pictures),
    )
    reasons = abstentions(use, asked, facts)
    if reasons:
        told = discrepancies.before_drafting(use, asked, facts)
        return base.model_copy(update={"abstained": reasons, "discrepancies": told})
    return ReportingResult.model_validate({**dict(base), **_drafted(case, use, facts)})


def _drafted(
    case: Case[ReportingParameters], use: IntendedUse, facts: tuple[StudyFacts | None, ...]
) -> dict[str, object]:
    """Return the fields of a result that has a draft. Each picture is drafted by itself, so that a place is in it."""
    asked, vision = case.parameters, case.vision
    drafts = tuple(vision.draft([picture], use.instruction) for picture in case.pictures)
    read, unread = claims(use, [sentences(draft, ended=True) for draft in drafts])
    evidence = gathered(vision, use, case.pictures, facts)
    held = decide(use, read, evidence, facts)
    decided = Decided(held.findings, (*unread, *held.removed), held.sides)
    prior = sentences(asked.prior, ended=False)
    comparison = compared(use, decided.findings, prior) if asked.prior.strip() else ()
    states = assessed(use, decided.findings)
    return {
        "findings": decided.findings,
        "sentences": report_sentences(decided.findings),
        "impression": impression(decided.findings, states),
        "assessed": states,
        "comparison": comparison,
        "prior_unread": tuple(sentence.text for sentence in prior if sentence.problem is not None),
        "discrepancies": discrepancies.after_drafting(use, asked, facts, drafts, decided, evidence, comparison),
        "removed": decided.removed,
        "removed_count": len(decided.removed),
        "evidence": evidence,
        "drafts": drafts,
    }


def _facts(case: Case[ReportingParameters]) -> tuple[StudyFacts | None, ...]:
    """Return the facts for each picture; of a plain picture there are none."""
    known = case.facts[: len(case.pictures)]
    return (*known, *(None for _ in case.pictures[len(known) :]))


def _order(asked: ReportingParameters) -> Order:
    told = asked.model_dump(include=set(Order.model_fields) - {"has_prior"})
    return Order(**told, has_prior=bool(asked.prior.strip()))


def _intended_use(case: Case[ReportingParameters]) -> tuple[IntendedUse, UsedIntendedUse]:
    asked = case.parameters
    name, version = asked.intended_use, asked.intended_use_version
    if case.configurations is None:
        use = _shipped(name, version)
        return use, UsedIntendedUse(name=name, title=use.title, version=0, digest=use.digest)
    found = case.configurations.find(KIND, name, version)
    use = _read(found.body, f"version {found.version} of the intended use {found.name!r}")
    return use, UsedIntendedUse(name=found.name, title=use.title, version=found.version, digest=found.digest)


def _shipped(name: str, version: int | None) -> IntendedUse:
    """Return one that ships, where no other is kept: as when the application is measured on a set of pictures."""
    if name not in shipped() or version:
        told = f"version {version} of {name!r}" if version else repr(name)
        raise _refused(f"there is no intended use {told} here; those that ship are: {', '.join(shipped())}")
    return shipped()[name]


def _read(body: Mapping[str, object], what: str) -> IntendedUse:
    try:
        return IntendedUse.model_validate(body)
    except ValidationError as error:
        problems = field_problems(error, IntendedUse)
        said = "; ".join(f"{problem['field']}: {problem['problem']}" for problem in problems)
        raise _refused(f"{what} is none any more: {said}") from error


def _refused(problem: str) -> InvalidParameters:
    told = [{"field": "intended_use", "problem": problem}]
    return InvalidParameters(f"reporting: intended_use: {problem}", problems=told)
