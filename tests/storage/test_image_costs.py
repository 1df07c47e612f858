"""What an image would cost is counted before a library walks it; what encoders really write is far below the limits."""

import io
import os
import struct
import time
import zlib
from random import Random

import pytest
from PIL import Image

from storage.image_costs import MOST_SCANS, too_costly

FULL = 32 * 1024 * 1024


def encoded(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    noise = Random(1).randbytes(1200 * 900)  # the same in every process: the lengths name the tests
    Image.frombytes("L", (1200, 900), noise).convert("RGB").save(out, kind, **options)
    return out.getvalue()


def chunks(data: bytes, size: int) -> bytes:
    """Return a PNG whose pixels, whatever they are, lie in chunks of that size."""
    packed = os.urandom(len(data))
    return data[:33] + b"".join(_chunk(packed[at : at + size]) for at in range(0, len(packed), size)) + data[-12:]


def _chunk(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + b"IDAT" + part + struct.pack(">I", zlib.crc32(b"IDAT" + part))


@pytest.mark.parametrize(
    "data",
    [
        encoded("JPEG", quality=95),
        encoded("JPEG", quality=95, progressive=True),
        encoded("JPEG") + b"\xff\xda" * 1_000,  # phones append a film, in which anything may stand
        encoded("JPEG", comment=b"\xff\xda" * 1_000),
        encoded("MPO", save_all=True, append_images=[Image.new("RGB", (900, 900))] * 4),
        encoded("PNG"),
        chunks(encoded("PNG"), 2048),
        encoded("GIF"),
        encoded("BMP"),
        encoded("TIFF"),
        encoded("WEBP"),
        b"",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM",
    ],
    ids=lambda data: f"{data[:6]!r}-{len(data)}",
)
def test_what_encoders_write_costs_little_and_what_is_cut_off_is_told_elsewhere(data: bytes) -> None:
    assert too_costly(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * FULL,
        b"\xff\xd8" + b"\xff\xfe\0\2" * (FULL // 4),
        b"\xff\xd8\xff\xfe\0\2" + bytes(FULL),
        b"\xff\xd8" + b"\xff\xd0" * (FULL // 2),
        b"\xff\xd8" + b"\xff\xda\0\2" * (MOST_SCANS + 1),
        b"\xff\xd8\xff\xda\0\2" + b"\xff\xfe\0\0" * (FULL // 4) + b"\xff\xda" * MOST_SCANS,
        b"\xff\xd8\xff\xda\0\2" + b"\xff\2" * (FULL // 2) + b"\xff\xda\0\2" * MOST_SCANS,
        b"\x89PNG\r\n\x1a\n" + (bytes(4) + b"abCd" + bytes(4)) * (FULL // 12),
        b"GIF89a" + bytes(7) + b"\x21\xfe" + b"\1a" * (FULL // 2),
        b"GIF89a" + bytes(7) + b"\x21\xfe\0" * (FULL // 3),
        b"BM" + bytes(12) + struct.pack("<I12xI", 40, 1) + bytes(FULL // 4),
    ],
    ids=[
        "fill",
        "comments",
        "junk",
        "alone",
        "scans",
        "segments",
        "skipped",
        "chunks",
        "sub-blocks",
        "extensions",
        "runs",
    ],
)
def test_a_file_of_many_small_parts_is_found_out_in_no_time(data: bytes) -> None:
    # given a file that Pillow would walk for up to a minute and a half
    began = time.process_time()
    # when its cost is asked for
    told = too_costly(data)
    # then it says of what there is too much, having counted no further
    assert told is not None
    assert told.startswith("more than ")
    assert time.process_time() - began < 1
