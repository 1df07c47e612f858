"""Boxes in a model's answer are read in its own format; what makes no box is dropped and counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.imaging.boxes_in_text import BoxFormat, Written, boxes_in

SHOWN = (280.0, 140.0)
BOX = (0.1, 0.2, 0.5, 0.8)

SAID = {
    BoxFormat.QWEN: '```json\n[\n\t{"bbox_2d": [100, 200, 500, 800], "label": "a cat"}\n]\n```',
    BoxFormat.QWEN_PIXELS: '[{"bbox_2d": [28, 28, 140, 112], "label": "a cat"}]',
    BoxFormat.QWEN_TAGS: "<|object_ref_start|>a cat<|object_ref_end|><|box_start|>(100,200),(500,800)<|box_end|>",
    BoxFormat.GEMMA: 'Here it is: {"box_2d": [200, 100, 800, 500], "label": "a cat"}',
    BoxFormat.PALIGEMMA: "<loc0205><loc0102><loc0819><loc0512> a cat",
    BoxFormat.INTERNVL: "<ref>a cat</ref><box>[[100, 200, 500, 800]]</box>",
    BoxFormat.JSON1000: '{"objects": [{"box": [100, 200, 500, 800], "label": "a cat"}]}',
}

MALFORMED = [
    (BoxFormat.QWEN, '[{"bbox_2d": [1, 2, 3], "label": "three numbers"}]'),
    (BoxFormat.QWEN, '[{"bbox_2d": [500, 200, 100, 800], "label": "out of order"}]'),
    (BoxFormat.QWEN, '[{"bbox_2d": [100, 200, 100, 800], "label": "no area"}]'),
    (BoxFormat.QWEN, '[{"bbox_2d": [1001, 200, 1200, 800], "label": "outside"}]'),
    (BoxFormat.QWEN, '[{"bbox_2d": [NaN, 200, 500, 800]}]'),
    (BoxFormat.QWEN, '[{"bbox_2d": [-Infinity, 200, 500, 800]}]'),
    (BoxFormat.QWEN, f'[{{"bbox_2d": [0, 0, 500, 1{"0" * 400}]}}]'),
    (BoxFormat.QWEN, '[{"bbox_2d": [true, 200, 500, 800]}]'),
    (BoxFormat.QWEN, '[{"bbox_2d": ["100", 200, 500, 800]}]'),
    (BoxFormat.QWEN, '[{"bbox_2d": {"x": 1}}]'),
    (BoxFormat.QWEN, '[{"bbox_2d": [100, 200, 500, 80'),
    (BoxFormat.QWEN_TAGS, "<|box_start|>(100,200),(500<|box_end|>"),
    (BoxFormat.QWEN_TAGS, "<|object_ref_start|>a cat<|object_ref_end|><|box_start|>(100,2"),
    (BoxFormat.PALIGEMMA, "<loc0100><loc0200><loc0500> a cat"),
    (BoxFormat.PALIGEMMA, "<loc0100><loc0200><loc0500><loc1024> a cat"),
    (BoxFormat.INTERNVL, "<ref>a cat</ref><box>[[100, 200"),
    (BoxFormat.INTERNVL, "<ref>a cat</ref><box></box>"),
]


@pytest.mark.parametrize(("told", "text"), SAID.items())
def test_a_box_is_read_in_the_models_own_format(told: BoxFormat, text: str) -> None:
    (found,), dropped = boxes_in(text, told, SHOWN)

    assert found.label == "a cat"
    assert found.corners == pytest.approx(BOX, abs=1e-3)
    assert dropped == 0


@pytest.mark.parametrize(("told", "text"), MALFORMED)
def test_what_makes_no_box_is_dropped_and_counted(told: BoxFormat, text: str) -> None:
    assert boxes_in(text, told, SHOWN) == ([], 1)


def test_a_box_that_is_partly_outside_is_cut_at_the_edge() -> None:
    found, dropped = boxes_in('{"bbox_2d": [-40, 500, 1200, 900]}', BoxFormat.QWEN, SHOWN)

    assert found == [Written("", (0.0, 0.5, 1.0, 0.9))]
    assert dropped == 0


def test_good_boxes_beside_a_bad_one_are_kept() -> None:
    good, bad = '{"box_2d": [0, 0, 10, 10], "label": "{a}"}', '{"box_2d": [9, 9, 1, 1]}'

    found, dropped = boxes_in(f"[{good}, {bad}, {good}, {{", BoxFormat.GEMMA, SHOWN)

    assert [box.label for box in found] == ["{a}", "{a}"]
    assert dropped == 2


def test_several_boxes_of_a_label_are_all_read() -> None:
    internvl = "<ref>cat</ref><box>[[0, 0, 10, 10], [5, 5, 20, 20]]</box> <ref>dog</ref><box>[[1, 1, 9, 9]]</box>"
    paligemma = "<loc0000><loc0000><loc0010><loc0010><loc0001><loc0001><loc0009><loc0009> cat ; " + (
        "<loc0000><loc0000><loc0010><loc0010> dog"
    )

    for told, text in ((BoxFormat.INTERNVL, internvl), (BoxFormat.PALIGEMMA, paligemma)):
        found, dropped = boxes_in(text, told, SHOWN)

        assert [box.label for box in found] == ["cat", "cat", "dog"]
        assert dropped == 0


def test_a_text_without_boxes_has_none() -> None:
    for told in BoxFormat:
        assert boxes_in("There is no cat.", told, SHOWN) == ([], 0)
        assert boxes_in("", told, SHOWN) == ([], 0)


def test_braces_without_end_are_no_trouble() -> None:
    found, dropped = boxes_in('{"a":' * 3000, BoxFormat.QWEN, SHOWN)

    assert found == []
    assert dropped == 3000


@given(
    st.sampled_from(BoxFormat),
    st.lists(
        st.one_of(
            st.text(), st.sampled_from([*SAID.values(), "<loc", "<box>", "[", "{", '{"bbox_2d": [', "<|box_start|>"])
        )
    ),
)
def test_whatever_a_model_writes_its_boxes_lie_inside_the_picture(told: BoxFormat, pieces: list[str]) -> None:
    found, dropped = boxes_in("".join(pieces), told, SHOWN)

    assert dropped >= 0
    for box in found:
        x0, y0, x1, y1 = box.corners
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
