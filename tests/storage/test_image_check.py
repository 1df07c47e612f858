"""What is taken in, and what every bad file is told."""

import io
import json
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from domain.errors import ImageEmpty, ImageFormatRefused, ImageRejected, ImageTooLarge, ImageUnreadable
from domain.images import FORMATS, ImageLimits
from storage.images import examine

LIMITS = ImageLimits(max_bytes=200_000, max_pixels=100_000, max_frames=1)


def encoded(kind: str, size: tuple[int, int] = (120, 80), frames: int = 1, **options: object) -> bytes:
    pictures = [Image.effect_noise(size, 60 + at).convert("RGB") for at in range(frames)]
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    out = io.BytesIO()
    pictures[0].save(out, kind, **more, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_of_the_allow_list_is_taken(kind: str) -> None:
    # given a picture in an allowed format
    data = encoded(kind)
    # when it is looked at
    ref = examine(data, LIMITS, "a picture")
    # then its header is told
    assert (ref.media_type, ref.width, ref.height, ref.bytes) == (FORMATS[kind], 120, 80, len(data))


def test_an_empty_file_is_called_empty() -> None:
    with pytest.raises(ImageEmpty, match=r"a\.png is empty"):
        examine(b"", LIMITS, "a.png")


def test_a_text_named_png_is_not_an_image() -> None:
    with pytest.raises(ImageUnreadable, match=r"notes\.png is not an image"):
        examine(b"only a text\n", LIMITS, "notes.png")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00", "AVIF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (b"8BPS\x00\x01", "Photoshop"),
        (bytes(128) + b"DICM", "DICOM"),
    ],
)
def test_a_format_outside_the_allow_list_is_named(data: bytes, what: str) -> None:
    with pytest.raises(ImageFormatRefused, match=f"is {what}"):
        examine(data, LIMITS, "a file")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_truncated_file_is_found_without_decoding_it(kind: str, share: float) -> None:
    # given a picture whose transfer was cut off
    data = encoded(kind)
    cut = data[: int(len(data) * share)]
    # when it is looked at
    # then it is damaged, and by name
    with pytest.raises(ImageUnreadable, match=r"cut\.bin"):
        examine(cut, LIMITS, "cut.bin")


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_still_truncated() -> None:
    # given a JPEG whose EXIF segment holds a thumbnail with an end marker of its own
    thumbnail = encoded("JPEG", (20, 20))
    whole = encoded("JPEG", exif=b"Exif\0\0" + thumbnail)
    assert examine(whole, LIMITS, "whole.jpg").width == 120
    # when its last bytes are missing
    # then the thumbnail's end is not taken for the picture's
    with pytest.raises(ImageUnreadable, match="end marker"):
        examine(whole[:-600], LIMITS, "cut.jpg")


def test_a_damaged_png_chunk_is_found_by_its_checksum() -> None:
    # given a PNG with one flipped bit in its pixels' chunk
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 1
    # when it is looked at
    # then it is damaged
    with pytest.raises(ImageUnreadable):
        examine(bytes(data), LIMITS, "flipped.png")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (encoded("JPEG", (400, 300)), "400x300, 120000 pixels"),
        (bytes(200_001), "200001 bytes"),
        (encoded("GIF", frames=2), "more than 1 frame"),
        (encoded("WEBP", frames=3), "more than 1 frame"),
        (encoded("TIFF", (60, 60), frames=2), "more than 1 frame"),
        (encoded("PNG", frames=2), "more than 1 frame"),
    ],
    ids=["pixels", "bytes", "gif", "webp", "tiff", "apng"],
)
def test_more_than_the_limits_allow_is_too_large(data: bytes, said: str) -> None:
    with pytest.raises(ImageTooLarge, match=said):
        examine(data, LIMITS, "large")


def test_a_bomb_of_a_header_is_refused_in_no_time_and_no_memory() -> None:
    # given a PNG that says it is 50,000 x 50,000, in a few hundred bytes
    data = bytearray(encoded("PNG", (1, 1)))
    data[16:24] = (50_000).to_bytes(4) * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4)
    # when it is looked at
    began = time.perf_counter()
    with pytest.raises(ImageTooLarge):
        examine(bytes(data), LIMITS, "bomb.png")
    # then nothing was decoded
    assert time.perf_counter() - began < 1


def _bad_inputs() -> list[Path]:
    root = os.environ.get("SIGHTLINE_TEST_DATA")
    if not root:
        return []
    told = json.loads((Path(root) / "badinputs" / "manifest.json").read_text("utf-8"))
    return [Path(root) / "badinputs" / each["file"] for each in told]


@pytest.mark.skipif(
    not os.environ.get("SIGHTLINE_TEST_DATA"), reason="SIGHTLINE_TEST_DATA is unset: no public bad inputs"
)
# As in production, where a plug-in's warning is no error.
@pytest.mark.filterwarnings("ignore")
def test_every_public_bad_input_is_taken_or_refused_with_a_typed_error_that_names_it() -> None:
    # given files that crashed, hung or fooled image libraries
    files = _bad_inputs()
    assert len(files) > 100
    taken = 0
    for path in files:
        began = time.perf_counter()
        # when one is looked at
        try:
            ref = examine(path.read_bytes(), ImageLimits(), path.name)
            taken += 1
            said = ""
        except ImageRejected as error:
            said = error.message
        # then it is within the limits, or refused by name, with a reason
        assert ref.width * ref.height <= ImageLimits().max_pixels if not said else said.startswith(f"{path.name} ")
        assert time.perf_counter() - began < 2, path
    # and the valid ones among them are taken
    assert taken >= 30
