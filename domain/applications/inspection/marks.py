"""What to draw over an inspected picture."""

from collections.abc import Iterator

from domain.applications.inspection.decide import severity
from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import Defect, InspectionResult, headline
from domain.marks import BannerMark, BoxMark, Mark, MaskMark, PolygonMark, Tone

TONES: dict[Verdict, Tone] = {
    Verdict.ACCEPT: "good",
    Verdict.UNDECIDED: "info",
    Verdict.REWORK: "warn",
    Verdict.REJECT: "bad",
}


def marks(result: InspectionResult, image: int) -> tuple[Mark, ...]:
    """Return the regions, the defects of that picture in the colour of what each caused, and the verdict.

    A golden reference bears nothing but its name.
    """
    if any(one.reference == image for one in result.comparisons):
        return (BannerMark(text="golden reference", tone="info"),)
    drawn: list[Mark] = [*_regions(result)]
    for defect in result.defects:
        if defect.image == image:
            drawn.extend(_defect(result, defect))
    return (*drawn, BannerMark(text=headline(result), tone=TONES[result.verdict]))


def caused(result: InspectionResult, defect: Defect) -> Verdict:
    """Return the most severe outcome that names the defect; ACCEPT where it is tolerated."""
    outcomes = [reason.outcome for reason in result.reasons if defect.id in reason.defects]
    return max(outcomes, key=severity, default=Verdict.ACCEPT)


def _regions(result: InspectionResult) -> Iterator[PolygonMark]:
    for polygon in result.regions.roi:
        yield PolygonMark(polygon=polygon, caption="region of interest")
    for polygon in result.regions.ignore:
        yield PolygonMark(polygon=polygon, caption="ignored", tone="warn")
    for name, polygon in result.regions.zones.items():
        yield PolygonMark(polygon=polygon, caption=f"zone {name}")


def _defect(result: InspectionResult, defect: Defect) -> Iterator[Mark]:
    tone = TONES[caused(result, defect)]
    if defect.mask is not None:
        yield MaskMark(mask=defect.mask, tone=tone)
    size = f"{defect.length_px:.0f} px" if defect.length_mm is None else f"{defect.length_mm:.3g} mm"
    doubt = "" if defect.certain else "?"
    yield BoxMark(box=defect.box, caption=f"{defect.id} {defect.label}{doubt} {defect.score:.2f}, {size}", tone=tone)
