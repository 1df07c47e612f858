"""What a reason says to people."""

from domain.applications.moderation.evidence import Failure, Reading
from domain.applications.moderation.policy import Label

HOW = {
    "prompts": "by its likeness to words",
    "question": "by the answer to a question",
    "detect": "by an object",
    "ground": "by a place that was pointed at",
    "text": "by its text",
    "codes": "by a code",
    "banks": "by a hash bank",
}
"""How a signal of each kind notices a label."""
MOST_MATCHES = 5
"""So many matches are quoted in a sentence."""


def banded_sentence(label: Label, reading: Reading, applies: bool) -> str:
    """Say why a label applies, or may: which signal, what it scored, and against which threshold."""
    limits = label.thresholds
    told = (
        f"from {limits.act:g} on it is {label.action.value}"
        if applies
        else f"scores from {limits.review:g} up to {limits.act:g} are left to a person"
    )
    counted = [match for match in reading.matches if match.score >= limits.review]
    quoted = ", ".join(f"{match.what} {match.quote!r}" for match in counted[:MOST_MATCHES])
    more = f" and {len(counted) - MOST_MATCHES} more" if len(counted) > MOST_MATCHES else ""
    found = f": {quoted}{more}" if quoted else ""
    return f"{label.title!r} {HOW[reading.kind]} in {where(reading.image)}, score {reading.score:.2f}; {told}{found}"


def failed_sentence(label: Label | None, failure: Failure) -> str:
    """Say which signal gave no answer, and why."""
    about = f"{label.title!r} {HOW[failure.kind]}" if label else f"what is noticed {HOW[failure.kind]}"
    verb = "gives no answer" if failure.abstained else "could not be asked for"
    return f"{about} {verb} in {where(failure.image)}: {failure.sentence}"


def restricted_sentence(image: int, bank: str) -> str:
    """Say which restricted bank a picture comes near."""
    return f"{where(image)} comes near an entry of the restricted bank {bank!r}"


def where(image: int | None) -> str:
    """Say which picture is meant, counted from 1; None is the post's own text."""
    return "the post's text" if image is None else f"picture {image + 1}"
