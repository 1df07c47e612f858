"""What is drawn, looked at pixel by pixel where it matters."""

import io
from math import cos, radians, sin

import pytest
from PIL import Image, ImageChops

from domain.errors import ImageUnreadable
from domain.geometry import Box, Mask, Polygon
from domain.marks import BannerMark, BoxMark, Mark, MaskMark, PolygonMark, TextMark
from gateway.drawing import draw
from gateway.drawing.letters import covers, cut, fit, font, printable
from gateway.drawing.painting import perspective, upright

GREY = (128, 128, 128)
RED, GREEN = (207, 34, 46), (26, 127, 55)


def plain(width: int = 700, height: int = 500, mode: str = "RGB", kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), GREY).convert(mode).save(out, kind, **options)
    return out.getvalue()


def drawn(data: bytes, *marks: Mark) -> Image.Image:
    return Image.open(io.BytesIO(draw(data, marks)))


def near(colour: object, other: tuple[int, int, int], by: int = 12) -> bool:
    assert isinstance(colour, tuple)
    return all(abs(a - b) <= by for a, b in zip(colour, other, strict=True))


def quad(x: float, y: float, width: float, height: float, angle: float = 0.0) -> Polygon:
    turn = radians(angle)
    corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    return Polygon(
        points=tuple((x + a * cos(turn) - b * sin(turn), y + a * sin(turn) + b * cos(turn)) for a, b in corners)
    )


def painted(text: str, place: Polygon, angle: float = 0.0) -> TextMark:
    return TextMark(quad=place, text=text, angle=angle, font_px=30, foreground="#000000", background="#ffffff")


def test_without_marks_the_picture_is_as_it_was() -> None:
    image = drawn(plain())
    assert (image.size, image.getpixel((350, 250))) == ((700, 500), GREY)


def test_a_mask_is_tinted_and_outlined_where_it_is_and_nowhere_else() -> None:
    # given a mask over a rectangle
    mask = Mask.covering(Box(x0=100, y0=200, x1=180, y1=300), height=500, width=700)
    # when it is drawn
    image = drawn(plain(), MaskMark(mask=mask, tone="bad"))
    # then its inside is tinted, its edge strong, and the rest untouched
    inside = image.getpixel((140, 250))
    assert not near(inside, GREY)
    assert not near(inside, RED)
    assert inside[0] > inside[1]
    assert near(image.getpixel((99, 250)), RED)
    assert image.getpixel((140, 150)) == GREY
    assert image.getpixel((300, 250)) == GREY


def test_a_box_is_outlined_and_its_caption_stands_above_it() -> None:
    image = drawn(plain(), BoxMark(box=Box(x0=200, y0=200, x1=300, y1=300), caption="d1 pit", tone="good"))
    assert near(image.getpixel((200, 250)), GREEN)
    assert image.getpixel((250, 250)) == GREY
    assert near(image.getpixel((203, 197)), GREEN)


def test_captions_of_boxes_at_the_same_place_do_not_hide_each_other() -> None:
    # given two boxes, one over the other
    same = Box(x0=200, y0=200, x1=400, y1=300)
    # when both have a caption
    one = drawn(plain(), BoxMark(box=same, caption="first", tone="bad"))
    two = drawn(
        plain(), BoxMark(box=same, caption="first", tone="bad"), BoxMark(box=same, caption="second", tone="good")
    )
    # then the first caption is as readable as it was alone
    tag = (205, 180, 240, 198)
    assert ImageChops.difference(one.crop(tag), two.crop(tag)).getbbox() is None


def test_a_banner_stands_on_top_and_hides_nothing() -> None:
    image = drawn(plain(), BannerMark(text="REJECT: crack", tone="bad"))
    added = image.height - 500
    assert added > 15
    assert near(image.getpixel((690, added // 2)), RED)
    assert image.crop((0, added, 700, added + 500)).getcolors() == [(350_000, GREY)]


def test_text_fills_its_quad_and_stays_within_it() -> None:
    # given a sign that is turned by 20 degrees
    place = quad(150, 100, 300, 80, angle=20)
    # when its translation is painted
    image = drawn(plain(), painted("Keep exit clear", place, angle=20))
    # then the quad is white with black letters, and outside nothing changed
    inside = [
        pixel
        for x in range(0, 700, 3)
        for y in range(0, 500, 3)
        if place.contains((x, y)) and (pixel := image.getpixel((x, y)))
    ]
    light = sum(near(pixel, (255, 255, 255), 40) for pixel in inside) / len(inside)
    dark = sum(near(pixel, (0, 0, 0), 60) for pixel in inside) / len(inside)
    assert light > 0.6
    assert dark > 0.05
    changed = ImageChops.difference(image.convert("RGB"), Image.new("RGB", image.size, GREY)).getbbox()
    box = place.box
    assert changed is not None
    assert changed[0] >= box.x0 - 2
    assert changed[1] >= box.y0 - 2
    assert changed[2] <= box.x1 + 2
    assert changed[3] <= box.y1 + 2


def test_text_that_the_font_cannot_write_leaves_the_sign_readable() -> None:
    image = drawn(plain(), painted("出口", quad(100, 100, 200, 60)))
    assert image.getpixel((200, 130)) == GREY
    assert not near(image.getpixel((200, 100)), GREY)


def test_the_font_has_the_letters_of_the_six_languages_and_more() -> None:
    # given what signs in English, Spanish, French, German, Italian and Portuguese need
    assert covers("áéíóúñü¿¡ ßÄÖÜäöü àâçèêëîïôœùûÿ ãõ ìò «» — … € ° Łódź Čeština ΑΩ Жук ĞİŞ")
    # and what it lacks is said, not boxed
    assert not covers("日本")
    assert printable("日本 exit") == "?? exit"


def test_long_text_becomes_smaller_and_breaks_into_lines() -> None:
    # given a text too long for one line at the size of the sign
    fitted = fit("Access for authorised personnel only during working hours", 60, 400, 150)
    # then it fits
    assert len(fitted.lines) > 1
    assert fitted.size < 60
    assert all(font(fitted.size).getlength(line) <= 400 for line in fitted.lines)
    # and a caption without room ends in dots
    assert cut("inspection of a part", 14, 60).endswith("…")


@pytest.mark.parametrize("start", range(4))
def test_a_quad_is_read_along_its_text_whatever_its_first_corner(start: int) -> None:
    points = quad(10, 10, 100, 20, angle=170).points
    turned = points[start:] + points[:start]
    assert upright(turned, 170) == list(points)


def test_the_perspective_maps_each_corner_to_its_source() -> None:
    target = [(10.0, 12.0), (90.0, 5.0), (100.0, 60.0), (4.0, 70.0)]
    source = [(0.0, 0.0), (200.0, 0.0), (200.0, 50.0), (0.0, 50.0)]
    a, b, c, d, e, f, g, h = perspective(target, source)
    for (x, y), (u, v) in zip(target, source, strict=True):
        below = g * x + h * y + 1
        assert ((a * x + b * y + c) / below, (d * x + e * y + f) / below) == pytest.approx((u, v), abs=1e-6)


def test_marks_lie_on_the_upright_picture() -> None:
    # given a photograph that lies on its side, and says so
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.new("RGB", (700, 500), GREY).save(out, "JPEG", exif=exif)
    # when a box is drawn at the bottom of the upright picture
    image = drawn(out.getvalue(), BoxMark(box=Box(x0=50, y0=600, x1=450, y1=690), tone="bad"))
    # then it is there
    assert image.size == (500, 700)
    assert near(image.getpixel((250, 600)), RED, 30)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "I;16", "1", "I", "F", "CMYK", "YCbCr"])
def test_pictures_of_every_mode_are_drawn_in_colour(mode: str) -> None:
    image = drawn(plain(mode=mode, kind="TIFF"), BannerMark(text="ok", tone="good"))
    assert image.mode == "RGB"


def test_a_large_picture_is_drawn_smaller_and_a_tiny_one_larger() -> None:
    whole = Box(x0=0, y0=0, x1=4000, y1=3000)
    assert drawn(plain(4000, 3000), BoxMark(box=whole)).size == (2048, 1536)
    assert drawn(plain(64, 32)).size == (640, 320)
    assert drawn(plain(1, 900)).size == (1, 900)


def test_what_cannot_be_decoded_is_said() -> None:
    with pytest.raises(ImageUnreadable, match="cannot be decoded"):
        draw(b"no picture", [])


def test_marks_beyond_the_picture_and_flat_ones_do_no_harm() -> None:
    # given marks as no application should send them
    marks = [
        BoxMark(box=Box(x0=-50, y0=-50, x1=9000, y1=9000), caption="x" * 500, tone="warn"),
        BoxMark(box=Box(x0=5, y0=5, x1=5, y1=5), caption="flat"),
        PolygonMark(polygon=Polygon(points=((0, 0), (0, 0), (0, 0))), caption="none"),
        painted("flat", quad(100, 100, 200, 0)),
        painted("beyond", quad(690, 490, 300, 100)),
        painted("word" * 200, quad(10, 10, 40, 8)),
        MaskMark(mask=Mask(height=500, width=700, counts=(350_000,))),
        BannerMark(text="y" * 5000),
    ]
    # when they are drawn
    # then there is a picture
    assert drawn(plain(), *marks).width == 700
