from math import cos, radians, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.applications.signs.layout import chains, letter_height, measured, overlap, reading_order, shares, widened
from domain.geometry import Polygon, iou
from domain.vision import TextRegion


def turned(region: TextRegion, angle: float) -> TextRegion:
    c, s = cos(radians(angle)), sin(radians(angle))
    points = tuple((300 + x * c - y * s, 300 + x * s + y * c) for x, y in region.quad.points)
    return region.model_copy(update={"quad": Polygon(points=points)})


@pytest.mark.parametrize("angle", [-40, -10, 0, 3, 25, 80])
def test_lines_are_read_from_the_top_and_from_the_left_however_the_sign_is_turned(written, angle):
    lines = [
        written("fourth", 0, 120, width=300),
        written("second", 240, 4, width=120),
        written("third", 0, 60, width=250),
        written("first", 0, 0, width=200),
    ]

    order = reading_order([measured(turned(line, angle)) for line in lines])

    assert [line.region.text for line in order] == ["first", "second", "third", "fourth"]


def test_no_lines_have_no_order():
    assert reading_order([]) == []


@settings(max_examples=40)
@given(st.floats(-179, 179), st.floats(20, 400), st.floats(10, 90))
def test_the_angle_is_that_of_the_text_clockwise_as_seen(angle, width, height):
    level = TextRegion(
        quad=Polygon(points=((0, 0), (width, 0), (width, height), (0, height))), text="text", confidence=1
    )

    line = measured(turned(level, angle))

    assert line.angle == pytest.approx(angle, abs=0.11)
    assert (line.width, line.height) == (pytest.approx(width), pytest.approx(height))


def test_a_longer_translation_is_written_smaller_and_a_shorter_one_no_larger_than_the_sign(written):
    line = measured(written("Halt", 0, 0, width=100, height=40))

    assert letter_height(line, "Stop") == letter_height(line, "I") == 24.0
    assert letter_height(line, "Parents are liable") < 10


def test_only_lines_below_each_other_of_like_size_may_be_one_phrase(written):
    lines = [
        written("NO", 80, 0, width=60),
        written("PARKING", 0, 50, width=220),
        written("small print", 0, 100, width=220, height=12),
        written("elsewhere", 900, 50, width=220),
    ]

    grouped = chains([measured(line) for line in lines])

    texts = [[line.region.text for line in chain] for chain in grouped]
    assert texts == [["NO", "PARKING"], ["small print"], ["elsewhere"]]


@pytest.mark.parametrize(
    ("translation", "lines", "expected"),
    [
        ("PROHIBIDO APARCAR", 2, ["PROHIBIDO", "APARCAR"]),
        ("Einbahnstraße", 2, ["Einbahnstraße", ""]),
        ("Construction site, no entry", 2, ["Construction site,", "no entry"]),
        ("Keep off the grass", 1, ["Keep off the grass"]),
    ],
)
def test_a_translation_is_shared_out_evenly_over_the_lines(translation, lines, expected):
    assert shares(translation, lines) == expected


@settings(max_examples=40)
@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=9), st.integers(1, 4))
def test_no_word_is_lost_when_a_translation_is_shared_out(words, lines):
    told = shares(" ".join(words), lines)

    assert len(told) == lines
    assert " ".join(share for share in told if share).split() == words
    assert all(told) or len(words) < lines


@pytest.mark.parametrize("angle", [-30, 0, 12])
def test_a_line_of_a_block_has_the_room_of_its_widest_line(written, angle):
    narrow, wide = (
        measured(turned(line, angle)) for line in (written("NO", 80, 0, width=60), written("PARKING", 0, 50, width=220))
    )

    room = widened(narrow, [narrow, wide])

    expected = turned(written("NO", 0, 0, width=220), angle)
    assert overlap(room.region.quad, expected.quad) > 0.98
    assert widened(wide, [narrow, wide]) is wide


boxes = st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50))


@settings(max_examples=40)
@given(boxes, boxes)
def test_the_overlap_of_level_quadrilaterals_is_that_of_their_boxes(one, other):
    a, b = (Polygon(points=((x, y), (x + w, y), (x + w, y + h), (x, y + h))) for x, y, w, h in (one, other))

    assert overlap(a, b) == pytest.approx(iou(a.box, b.box), abs=1e-6)
    assert overlap(a, b) == pytest.approx(overlap(b, a), abs=1e-6)
    assert overlap(a, a) == pytest.approx(1)
