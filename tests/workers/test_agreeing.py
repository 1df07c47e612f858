"""How far two answers agree, by what each capability answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.geometry import Box, Mask, Polygon
from domain.vision import (
    Answer,
    Capability,
    Detection,
    Grounding,
    Label,
    Segment,
    TextRegion,
    Translation,
)
from workers.agreeing import COMPARED, MOST_TOLD, agreement, told

BOX, NEAR, FAR = Box(x0=0, y0=0, x1=10, y1=10), Box(x0=0, y0=1, x1=10, y1=11), Box(x0=50, y0=50, x1=60, y1=60)


def detections(*found: tuple[str, Box]) -> tuple[Detection, ...]:
    return tuple(Detection(label=label, score=0.5, box=box) for label, box in found)


def line(text: str, box: Box = BOX) -> TextRegion:
    corners = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
    return TextRegion(quad=Polygon(points=corners), text=text, confidence=0.9)


def labels(*names: str) -> tuple[Label, ...]:
    return tuple(Label(name=name, score=0.5) for name in names)


@pytest.mark.parametrize(
    ("capability", "one", "other", "expected"),
    [
        (Capability.CLASSIFY, labels("cat", "dog"), labels("cat", "bird"), 1.0),
        (Capability.CLASSIFY, labels("cat", "dog"), labels("dog", "cat"), 0.0),
        (Capability.DETECT, (), (), 1.0),
        (Capability.DETECT, detections(("pit", BOX)), (), 0.0),
        (Capability.DETECT, detections(("pit", BOX)), detections(("pit", NEAR)), 1.0),
        (Capability.DETECT, detections(("pit", BOX)), detections(("dent", BOX)), 0.0),
        (Capability.DETECT, detections(("pit", BOX)), detections(("pit", FAR)), 0.0),
        (Capability.DETECT, detections(("pit", BOX)), detections(("pit", BOX), ("pit", NEAR)), 2 / 3),
        (Capability.DETECT, detections(("pit", BOX), ("pit", FAR)), detections(("pit", FAR), ("pit", NEAR)), 1.0),
        (Capability.GROUND, (Grounding(phrase="a cat", score=0.5, box=BOX),), (), 0.0),
        (Capability.ASK, Answer(text="Yes"), Answer(text=" yes "), 1.0),
        (Capability.ASK, Answer(text="yes"), Answer(text="no"), 0.0),
        (Capability.ASK, Answer(text='{"a": 1, "b": 2}'), Answer(text='{"b":2,"a":1.0}'), 1.0),
        (Capability.ASK, Answer(text='{"a": 1}'), Answer(text='{"a": 2}'), 0.0),
        (Capability.CAPTION, "a red car on grass", "a red bus on grass", 0.8),
        (Capability.DRAFT, "no finding", "No  finding", 1.0),
        (Capability.READ, (line("EXIT"),), (line("EXIT", NEAR),), 1.0),
        (Capability.READ, (line("EXIT"),), (line("EXLT"),), 0.0),
        (Capability.TRANSLATE, None, None, 1.0),
        (Capability.TRANSLATE, None, Translation(text="Ausgang", model="m"), 0.0),
        (Capability.TRANSLATE, Translation(text="Ausgang", model="m"), Translation(text="ausgang", model="n"), 1.0),
    ],
)
def test_what_agrees(capability: Capability, one: Any, other: Any, expected: float) -> None:
    assert agreement(capability, one, other) == pytest.approx(expected)


def test_a_mask_of_nothing_agrees_with_itself() -> None:
    # given a mask in which no pixel is set, whose box has no area
    empty = (Segment(mask=Mask(height=4, width=4, counts=(16,)), score=0.5),)
    # when it is compared with itself
    # then they agree, although boxes without an area never overlap
    assert agreement(Capability.SEGMENT, empty, empty) == 1.0


boxes = st.builds(
    lambda x, y, w, h: Box(x0=x, y0=y, x1=x + w, y1=y + h),
    *(st.integers(0, 20) for _ in range(2)),
    *(st.integers(0, 20) for _ in range(2)),
)
found = st.lists(st.tuples(st.sampled_from(["pit", "dent"]), boxes), max_size=5).map(lambda some: detections(*some))


@given(found, found)
def test_what_was_found_agrees_with_itself_and_with_others_from_0_to_1(one: Any, other: Any) -> None:
    assert agreement(Capability.DETECT, one, one) == 1.0
    assert 0.0 <= agreement(Capability.DETECT, one, other) <= 1.0


@pytest.mark.parametrize("capability", [Capability.EMBED, Capability.IMAGINE, Capability.IDENTIFY])
def test_what_cannot_be_compared_is_not(capability: Capability) -> None:
    assert capability not in COMPARED


def test_an_answer_is_told_as_json_and_a_long_one_as_its_beginning() -> None:
    # given an answer of values, and a text that is longer than is kept
    # when they are told
    # then the one is plain, and the other cut
    [plain] = told(detections(("pit", BOX)))
    assert (plain["label"], plain["box"]["x1"]) == ("pit", 10)
    assert len(told("a" * 2 * MOST_TOLD)) == MOST_TOLD + 1


def test_what_no_database_stores_is_told_as_null_or_refused() -> None:
    # given answers that hold no number, and a NUL character
    # when they are told
    # then the one is null, and the other refused
    assert told([float("nan"), float("inf")]) == [None, None]
    with pytest.raises(ValueError, match="NUL"):
        told("a\0b")
