"""From bytes to pixels: upright, eight bits, three channels, within limits; or a typed error."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from domain.errors import ImageRejected, ImageTooLarge, ImageUnreadable
from domain.images import ImageLimits
from storage.image_check import examine
from workers.imaging.decode import Decoded, decode

LIMITS = ImageLimits()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def upright() -> Image.Image:
    """A picture of 24 × 16 whose four quarters differ: red, green, blue, white from the top left."""
    image = Image.new("RGB", (24, 16), "white")
    image.paste("red", (0, 0, 12, 8))
    image.paste("lime", (12, 0, 24, 8))
    image.paste("blue", (0, 8, 12, 16))
    return image


def corners(decoded: Decoded) -> list[tuple[int, ...]]:
    pixels = decoded.pixels
    return [tuple(int(value) for value in pixels[y, x]) for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1))]


def header(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it is that large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    told = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", told) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
LAID = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How the sensor's picture lies, for each EXIF orientation (CIPA DC-008, tag 0x0112): turned back it is upright."""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_each_exif_orientation_is_undone_and_told(orientation: int, kind: str) -> None:
    # given a picture that was stored as a camera in that position stores it
    way = LAID[orientation]
    stored = upright() if way is None else upright().transpose(way)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    # when it is decoded
    decoded = decode(encoded(stored, kind, exif=exif, **options), LIMITS)
    # then it is upright, and says what was undone
    assert decoded.orientation == orientation
    assert decoded.pixels.shape == (16, 24, 3)
    assert np.allclose(corners(decoded), COLOURS, atol=8)


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_orientation_that_does_not_exist_is_upright(orientation: int) -> None:
    # given a tag that means nothing
    exif = Image.Exif()
    exif[0x0112] = orientation
    # when the picture is decoded
    decoded = decode(encoded(upright(), exif=exif), LIMITS)
    # then it is as it is
    assert (decoded.orientation, corners(decoded)) == (1, COLOURS)


def test_grey_of_sixteen_bits_is_scaled_not_cut() -> None:
    # given a ramp over the whole range of 16 bits
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16)[None, :].repeat(4, axis=0)
    # when it is decoded
    pixels = decode(encoded(Image.fromarray(ramp)), LIMITS).pixels
    # then it is a ramp over 8 bits, the same in each channel
    assert pixels.shape == (4, 256, 3)
    assert (pixels[0, 0, 0], pixels[0, 128, 0], pixels[0, 255, 0]) == (0, 128, 255)
    assert (np.diff(pixels[0, :, 0].astype(int)) >= 0).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_what_is_transparent_lies_on_white() -> None:
    # given pictures with transparency of every kind
    alpha = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    alpha.putpixel((1, 0), (0, 0, 0, 0))
    half = Image.new("LA", (2, 1), (0, 128))
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((1, 0), 1)
    # when they are decoded
    shown = decode(encoded(alpha), LIMITS).pixels
    # then what shows through is white
    assert shown[0].tolist() == [[255, 0, 0], [255, 255, 255]]
    assert decode(encoded(half), LIMITS).pixels[0, 0].tolist() == [127, 127, 127]
    assert decode(encoded(palette, transparency=0), LIMITS).pixels[0].tolist() == [[255, 255, 255], [10, 20, 30]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_every_mode_becomes_three_channels_of_eight_bits(mode: str) -> None:
    # given a picture in that mode
    image = upright().convert(mode)
    # when it is decoded
    pixels = decode(encoded(image, "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"), LIMITS).pixels
    # then it is H × W × 3 of bytes that can be written to
    assert (pixels.shape, pixels.dtype) == ((16, 24, 3), np.uint8)
    assert pixels.flags.writeable


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_a_file_that_is_cut_off_is_unreadable(kind: str) -> None:
    # given a picture of noise, cut in the middle
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    # when it is decoded
    # then it is an error that names it, never half a picture
    with pytest.raises(ImageUnreadable, match="image 0"):
        decode(data[: len(data) // 2], LIMITS, "image 0")


@pytest.mark.parametrize("data", [b"", b"a", b"name,size\na,1\n" * 50, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_unreadable(data: bytes) -> None:
    # given bytes that are none, or the beginning of one
    # when they are decoded
    # then it is said so, with the formats that are taken
    with pytest.raises(ImageUnreadable):
        decode(data, LIMITS)


@pytest.mark.parametrize(("width", "height"), [(8_001, 8_001), (12_000, 12_000), (60_000, 60_000)])
def test_a_header_that_promises_too_many_pixels_is_refused_before_any_is_decoded(width: int, height: int) -> None:
    # given a file of some bytes that says it is huge: over our limit, over Pillow's warning, over Pillow's error
    data = header(width, height)
    assert len(data) < 200
    # when it is decoded
    # then it is too large, not damaged
    with pytest.raises(ImageTooLarge):
        decode(data, LIMITS)


def test_a_moving_gif_is_taken_by_as_many_frames_as_the_limits_allow() -> None:
    # given a GIF of three frames
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    # when limits allow two, or three
    # then it is refused, or its first frame is the picture
    with pytest.raises(ImageTooLarge, match="2 frame"):
        decode(data, ImageLimits(max_frames=2))
    assert decode(data, ImageLimits(max_frames=3)).pixels[0, 0].tolist() == [255, 0, 0]


def test_a_format_outside_the_list_is_refused() -> None:
    # given a picture that Pillow could read
    # when it is decoded
    # then it is not
    with pytest.raises(ImageRejected):
        decode(encoded(upright(), "PPM"), LIMITS)
    with pytest.raises(ImageRejected):
        decode(encoded(upright(), "ICO"), LIMITS)


def test_what_is_taken_in_can_be_decoded() -> None:
    # given a picture in every way that is taken in, among them cameras' several JPEGs in one file
    files = [encoded(upright(), kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")]
    files.append(encoded(upright(), "MPO", save_all=True, append_images=[ImageOps.mirror(upright())]))
    for data in files:
        # when it is examined on its way in, and decoded later
        ref = examine(data, LIMITS, "a file")
        decoded = decode(data, LIMITS)
        # then both see the same picture
        assert decoded.pixels.shape == (ref.height, ref.width, 3)
