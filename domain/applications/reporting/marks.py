"""What to draw over a picture that a report was drafted of. The banner stands on every one, alone in its line."""

from domain.applications.reporting.reading import Certainty
from domain.applications.reporting.result import ReportingResult, Told, headline, named
from domain.marks import BannerMark, BoxMark, Mark, Tone
from domain.reports import UNVERIFIED

TONES: dict[Certainty, Tone] = {Certainty.CERTAIN: "bad", Certainty.PROBABLE: "warn", Certainty.POSSIBLE: "warn"}


def marks(result: ReportingResult, image: int) -> tuple[Mark, ...]:
    """Return the places of the findings in that picture, and above it that nobody has verified them."""
    boxes = [_box(one) for one in result.present if one.image == image]
    told = headline(result).removeprefix(f"{UNVERIFIED}: ")
    return (
        *(box for box in boxes if box),
        BannerMark(text=UNVERIFIED, tone="warn"),
        BannerMark(text=told, tone="info"),
    )


def _box(one: Told) -> BoxMark | None:
    if one.box is None:
        return None
    doubt = "" if one.certainty is Certainty.CERTAIN else "?"
    size = f", {one.measurement.length_mm:g} mm" if one.measurement else ""
    return BoxMark(
        box=one.box, caption=f"{one.id} {named(one)}{doubt} {one.score:.2f}{size}", tone=TONES[one.certainty]
    )
