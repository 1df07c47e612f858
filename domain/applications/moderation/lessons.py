"""What a model learns from a moderation that a person has confirmed: little, as a decision says little of a picture.

A person confirms what is done with the content, and the label that it rests on. Of a picture that tells which label it
has only where that label alone was noticed, in this picture alone, and by its looks: a text, a code or a hash bank
may be why, and none of them is what a picture looks like. What was allowed teaches nothing, as a set has no word for
"none of the labels".
"""

from collections.abc import Iterator

from domain.applications.application import Lesson
from domain.applications.moderation.result import Decision, ModerationResult

LOOKS = frozenset({"prompts", "question", "detect", "ground"})
"""Signals that go by what is to be seen."""
TEACHING = frozenset({Decision.FLAG, Decision.BLOCK, Decision.ESCALATE})


def lessons(result: ModerationResult) -> Iterator[Lesson]:
    """Yield the label of the one picture that the decision rests on, where that is certain."""
    concerned = {(reason.label, reason.image) for reason in result.reasons}
    if result.restricted or result.decision not in TEACHING or len(concerned) != 1:
        return
    [(label, image)] = concerned
    if label is not None and label == result.label and image is not None and _all_by_looks(result):
        yield Lesson(image=image, label=label)


def _all_by_looks(result: ModerationResult) -> bool:
    seen = {(one.label, one.signal, one.image) for one in result.readings if one.kind in LOOKS}
    return all((reason.label, reason.signal, reason.image) in seen for reason in result.reasons)
