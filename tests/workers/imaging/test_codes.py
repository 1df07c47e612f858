"""Bar codes, written by the library that reads them and then put where they are hard to see."""

import numpy as np
import pytest
import zxingcpp

from workers.imaging.codes import codes


def written(content: str | bytes, kind: str = "QRCode", scale: int = 4) -> np.ndarray:
    """A code in black on white, with the quiet zone that it needs."""
    code = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, kind))
    grey = np.asarray(code.to_image(scale=scale, add_quiet_zones=True))
    return np.repeat(grey[:, :, None], 3, axis=2)


def on_a_sheet(*codes_at: tuple[np.ndarray, int, int], size: tuple[int, int] = (600, 800)) -> np.ndarray:
    """A grey sheet with codes at these columns and rows."""
    sheet = np.full((*size, 3), 220, np.uint8)
    for code, x, y in codes_at:
        sheet[y : y + code.shape[0], x : x + code.shape[1]] = code
    return sheet


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("QRCode", "https://example.org/?q=Grüße"),
        ("EAN13", "4006381333931"),
        ("Code128", "LOT-0042"),
        ("DataMatrix", "A-17"),
        ("PDF417", "several words"),
        ("Aztec", "ticket"),
    ],
)
def test_codes_of_every_kind_are_read(kind, content):
    [found] = codes(on_a_sheet((written(content, kind), 60, 80)))

    assert (found.format, found.text) == (kind, content)


def test_codes_come_from_the_top_left_and_say_where_they_stand():
    # given two codes, the lower one to the left
    lower, upper = written("lower"), written("upper")
    # when the sheet is read
    found = codes(on_a_sheet((lower, 20, 300), (upper, 500, 40)))
    # then the upper one is first, and its quad goes clockwise from its top left
    assert [code.text for code in found] == ["upper", "lower"]
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = found[0].quad.points
    assert x0 < x1
    assert y1 < y2
    assert x3 < x2
    assert abs(y3 - y2) <= 2
    assert 500 < x0 < 530
    assert 40 < y0 < 70


def test_a_turned_code_has_a_quad_that_begins_at_its_own_top_left():
    turned = np.rot90(written("turn"), -1)  # clockwise: what was its top left is the top right of the sheet

    [found] = codes(np.ascontiguousarray(turned))

    (x0, y0), (x1, y1), *_ = found.quad.points
    assert found.text == "turn"
    assert x0 > turned.shape[1] / 2 > y0
    assert y1 > turned.shape[0] / 2
    assert abs(x1 - x0) <= 2


def test_what_is_no_text_comes_as_characters_that_can_be_stored():
    [found] = codes(written(b"\x00\xff\x80ab\n"))

    assert found.text == "\ufffd\xff\x80ab\n"


def test_a_damaged_code_and_an_empty_sheet_are_none():
    bars = written("4006381333931", "EAN13")
    bars[:, 150:190] = 0

    assert codes(on_a_sheet((bars, 50, 50))) == ()
    assert codes(on_a_sheet()) == ()
    assert codes(np.zeros((1, 1, 3), np.uint8)) == ()
