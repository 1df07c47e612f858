"""The report in words: one sentence for each finding, by region, and the impression.

The words are this module's, not the model's. A sentence says what there is evidence for and no more: the model's own
sentence, with all that it claims besides, stands beside it in the finding (`said`, `left_out`).
"""

from collections.abc import Iterator, Sequence

from domain.applications.reporting.reading import Certainty
from domain.applications.reporting.result import Assessed, ReportSentence, Told, named
from domain.applications.reporting.vocabulary import REGIONS
from domain.studies import SpacingSource


def report_sentences(found: Sequence[Told]) -> tuple[ReportSentence, ...]:
    """Return the sentences by region, what is there before what is not."""
    ordered = sorted(found, key=lambda one: (REGIONS.index(one.region), not one.present))
    return tuple(
        ReportSentence(id=f"s{number}", text=_sentence(one), region=one.region, findings=(one.id,))
        for number, one in enumerate(ordered, start=1)
    )


def impression(found: Sequence[Told], assessed: Sequence[Assessed]) -> tuple[ReportSentence, ...]:
    """Return the impression: what is there; or, where every finding was assessed and is absent, that nothing is.

    Where a finding was not assessed, nothing is said of the whole: there is no finding by silence.
    """
    told = [
        ReportSentence(id=f"i{at}", text=_sentence(one), findings=(one.id,)) for at, one in enumerate(_there(found), 1)
    ]
    if not told and assessed and all(one.state == "absent" for one in assessed):
        names = _listed([one.finding for one in assessed])
        told = [ReportSentence(id="i1", text=f"No {names}.", findings=tuple(one.id for one in found))]
    return tuple(told)


def _there(found: Sequence[Told]) -> Iterator[Told]:
    yield from (one for one in found if one.present)


def _sentence(one: Told) -> str:
    hedge = "" if one.certainty is Certainty.CERTAIN else f"{one.certainty.value} "
    if not one.present:
        return f"No {one.finding}." if not hedge else f"{hedge.capitalize()}no {one.finding}."
    told = f"{hedge}{named(one)}"
    return f"{told[0].upper()}{told[1:]}{_size(one)}."


def _size(one: Told) -> str:
    if one.measurement is None:
        return ""
    at = " at the detector" if one.measurement.source is SpacingSource.DETECTOR else ""
    wide = "wide" if one.measurement.quantity == "width" else "in diameter"
    return f", {one.measurement.length_mm:g} mm {wide}{at}"


def _listed(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
