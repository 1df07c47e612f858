"""A report as headed lines, which text and PDF lay out each in their way."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from domain.applications.reporting.result import ReportSentence, Told
from domain.reports import ReportState
from gateway.reports.rendered import Rendered


@dataclass(frozen=True)
class Section:
    """A heading and its lines."""

    title: str
    lines: tuple[str, ...]


def sections(told: Rendered) -> tuple[Section, ...]:
    """Return the sections that have something to say, in the order of a report."""
    result = told.result
    every = (
        Section("Indication", (result.order.indication,) if result.order.indication else ()),
        Section("No draft", tuple(reason.sentence for reason in result.abstained)),
        *_findings(told),
        Section("Impression", tuple(_with_evidence(told, sentence) for sentence in result.impression)),
        Section("Comparison with the prior report", tuple(_comparison(told))),
        Section("Not assessed", tuple(one.finding for one in result.assessed if one.state == "not-assessed")),
        Section("Discrepancies", tuple(_discrepancies(told))),
        Section("Left out of the draft", _removed(told)),
        Section("Who", tuple(_people(told))),
    )
    return tuple(section for section in every if section.lines)


def title(told: Rendered) -> str:
    """Return what the report is: its version and state."""
    version = told.version
    return f"Report {told.report_id}, version {version.number} of {len(told.report.versions)}: {version.state.value}"


def about(told: Rendered) -> tuple[str, ...]:
    """Return what stands beneath the title: the patient's pseudonym, the examination, and whether it still stands."""
    order, known = told.result.order, [one for one in told.result.facts if one is not None]
    modality = next((one.modality for one in known if one.modality), order.modality)
    part = next((one.body_part for one in known if one.body_part), order.body_part)
    lines = [f"Subject: {told.subject}", f"Examination: {modality or 'unknown'}, {part or 'unknown'}"]
    if told.superseded_by is not None:
        lines.append(f"Superseded: version {told.superseded_by} stands in its place")
    if told.version.amends is not None:
        lines.append(f"Amends version {told.version.amends}")
    return tuple(lines)


def _findings(told: Rendered) -> Iterator[Section]:
    for region, group in groupby(told.result.sentences, key=lambda sentence: sentence.region):
        yield Section(f"Findings: {region}", tuple(_with_evidence(told, sentence) for sentence in group))


def _with_evidence(told: Rendered, sentence: ReportSentence) -> str:
    """Return a sentence with the ids and places of what it rests on."""
    by_id = {one.id: one for one in told.result.findings}
    shown = "; ".join(_evidence(by_id[name]) for name in sentence.findings if name in by_id)
    return f"{sentence.text} [{shown}]" if shown else sentence.text


def _evidence(one: Told) -> str:
    if one.box is None:
        return f"{one.id}: answered no, {one.score:.2f}"
    x0, y0, x1, y1 = one.box.xyxy
    return f"{one.id}: picture {one.image + 1}, x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f}, score {one.score:.2f}"


def _comparison(told: Rendered) -> Iterator[str]:
    yield from (one.sentence for one in told.result.comparison)
    unread = len(told.result.prior_unread)
    if unread:
        yield f"{unread} {'sentence' if unread == 1 else 'sentences'} of the prior report could not be read."


def _discrepancies(told: Rendered) -> Iterator[str]:
    settled = {one.discrepancy: one for one in told.version.resolutions}
    known = {one.id: one.sentence for one in told.result.discrepancies}
    for name in dict.fromkeys((*known, *told.version.blocking)):
        sentence = known.get(name, "no longer told by this version")
        if name in settled:
            yield f"{name}: {sentence}. Resolved by {settled[name].by.name}: {settled[name].sentence}"
        elif name in told.version.blocking:
            yield f"{name}: {sentence}. To be resolved before signing."
        else:
            yield f"{name}: {sentence}."


def _removed(told: Rendered) -> tuple[str, ...]:
    count = told.result.removed_count
    if not count:
        return ()
    one = "1 statement of the model was" if count == 1 else f"{count} statements of the model were"
    return (f"{one} removed for want of evidence, or because it could not be read.",)


def _people(told: Rendered) -> Iterator[str]:
    version = told.version
    yield f"Drafted by machine, {told.drafted_at.isoformat(timespec='seconds')}"
    yield from (f"Model: {model.name}, {model.revision}" for model in told.models)
    if version.reviewed is not None:
        yield f"Reviewed by {version.reviewed.by.name}, {version.reviewed.at.isoformat(timespec='seconds')}"
    if version.rejection is not None:
        yield f"Rejected by {version.rejection.by.name}: {version.rejection.reason}"
    if version.signature is not None:
        signature = version.signature
        yield f"Signed by {signature.by.name}, {signature.at.isoformat(timespec='seconds')}"
        yield signature.statement
    if version.state is ReportState.REJECTED:
        yield "Not to be used."
    yield f"SHA-256 of the content: {version.content_hash}"
