"""What to draw over a picture that was held to a policy."""

from collections.abc import Iterator

from domain.applications.moderation.result import Decision, ModerationResult, headline
from domain.marks import BannerMark, BoxMark, Mark, PolygonMark, Tone

TONES: dict[Decision, Tone] = {
    Decision.ALLOW: "good",
    Decision.FLAG: "warn",
    Decision.REVIEW: "info",
    Decision.BLOCK: "bad",
    Decision.ESCALATE: "bad",
}


def marks(result: ModerationResult, image: int) -> tuple[Mark, ...]:
    """Return the codes of that picture, the places that count in the colour of what they led to, and the decision."""
    codes = (PolygonMark(polygon=code.quad, caption=code.format) for code in result.codes if code.image == image)
    banner = BannerMark(text=headline(result), tone=TONES[result.decision])
    return (*codes, *_counted(result, image), banner)


def _counted(result: ModerationResult, image: int) -> Iterator[Mark]:
    limits = {label.id: label.thresholds for label in result.labels}
    tones = {
        (reason.label, reason.signal): TONES[reason.outcome]
        for reason in reversed(result.reasons)
        if reason.image == image and reason.signal is not None
    }
    for reading in result.readings:
        tone = tones.get((reading.label, reading.signal))
        if reading.image == image and tone is not None:
            for match in reading.matches:
                if match.box is not None and match.score >= limits[reading.label].review:
                    yield BoxMark(box=match.box, caption=f"{reading.label} {match.score:.2f}", tone=tone)
