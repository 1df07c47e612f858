"""How far two answers to one call agree, from 0 to 1, by what the capability answers. No model, no thread.

Scores are not compared: of two revisions each is as sure as it learned to be. What counts is what is answered.
"""

import json
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any

from pydantic import TypeAdapter

from domain.geometry import Box, iou
from domain.vision import Answer, Capability, Detection, Grounding, Label, Segment, TextRegion, Translation

SAME_PLACE = 0.5
"""From this intersection over union two boxes stand for one thing."""
MOST_TOLD = 20_000


def agreement(capability: Capability, one: Any, other: Any) -> float:  # noqa: ANN401  (each capability's own)
    """Return how far two answers agree. Raises KeyError for a capability that is not in `COMPARED`."""
    return COMPARED[capability](one, other)


def told(answer: Any) -> Any:  # noqa: ANN401
    """Return an answer as JSON, NaN as null, and one of more than `MOST_TOLD` characters as its beginning.

    Raises ValueError where a text holds a NUL character, which PostgreSQL does not store.
    """
    plain = TypeAdapter(Any).dump_python(answer, mode="json")
    text = json.dumps(plain)
    if "\\u0000" in text:
        raise ValueError("a text holds a NUL character")
    return plain if len(text) <= MOST_TOLD else f"{text[:MOST_TOLD]}…"


def _labels(one: Sequence[Label], other: Sequence[Label]) -> float:
    """Whether both put the same label first."""
    return float([label.name for label in one[:1]] == [label.name for label in other[:1]])


def _detections(one: Sequence[Detection], other: Sequence[Detection]) -> float:
    return _places([(each.label, each.box) for each in one], [(each.label, each.box) for each in other])


def _groundings(one: Sequence[Grounding], other: Sequence[Grounding]) -> float:
    return _places([(each.phrase, each.box) for each in one], [(each.phrase, each.box) for each in other])


def _segments(one: Sequence[Segment], other: Sequence[Segment]) -> float:
    return _places([("", each.mask.box) for each in one], [("", each.mask.box) for each in other])


def _regions(one: Sequence[TextRegion], other: Sequence[TextRegion]) -> float:
    return _places([(each.text, each.quad.box) for each in one], [(each.text, each.quad.box) for each in other])


def _places(one: Sequence[tuple[str, Box]], other: Sequence[tuple[str, Box]]) -> float:
    """Return the F1 of one's named boxes against the other's; 1 where neither has any.

    Two of the same name stand for one thing from `SAME_PLACE` on; those that overlap most are taken first, each once.
    """
    pairs = [
        (1.0 if mine == theirs else iou(mine, theirs), i, j)
        for i, (name, mine) in enumerate(one)
        for j, (as_well, theirs) in enumerate(other)
        if name == as_well
    ]
    left, right = set[int](), set[int]()
    for overlap, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if overlap >= SAME_PLACE and i not in left and j not in right:
            left.add(i)
            right.add(j)
    return 2 * len(left) / (len(one) + len(other)) if one or other else 1.0


def _answers(one: Answer, other: Answer) -> float:
    """Whether both say the same, but for case and spacing, or as JSON where both are."""
    if _folded(one.text) == _folded(other.text):
        return 1.0
    try:
        return float(json.loads(one.text) == json.loads(other.text))
    except ValueError:
        return 0.0


def _texts(one: str, other: str) -> float:
    """Return the share of words that both have in the same order (Ratcliff and Obershelp, 1988)."""
    return SequenceMatcher(None, _folded(one), _folded(other), autojunk=False).ratio()


def _translations(one: Translation | None, other: Translation | None) -> float:
    said, otherwise = (None if each is None else each.text for each in (one, other))
    if said is None or otherwise is None:
        return float(said is None and otherwise is None)
    return _texts(said, otherwise)


def _folded(text: str) -> list[str]:
    return text.casefold().split()


COMPARED: dict[Capability, Callable[[Any, Any], float]] = {
    Capability.CLASSIFY: _labels,
    Capability.DETECT: _detections,
    Capability.GROUND: _groundings,
    Capability.SEGMENT: _segments,
    Capability.ASK: _answers,
    Capability.CAPTION: _texts,
    Capability.DRAFT: _texts,
    Capability.READ: _regions,
    Capability.TRANSLATE: _translations,
}
"""What candidates are asked besides. Vectors of two encoders are not comparable, nor are imagined pictures."""
