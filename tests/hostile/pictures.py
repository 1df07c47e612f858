"""Hostile files that no folder holds: each made here, in some milliseconds, with the code that it must be refused with.

A code of None means that the file is a picture: it is taken, and its job ends as it may.
"""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

Made = Callable[[], bytes]
FULL = 32 * 1024 * 1024 - 2_000
"""As large as a file may be."""
PNG = b"\x89PNG\r\n\x1a\n"


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (24, 16), **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 1).save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int = 8, height: int = 8, depth: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def png(*between: bytes, head: bytes = b"", pixels: bytes = b"\0" * 25 * 8) -> bytes:
    return PNG + (head or header()) + b"".join(between) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def jpeg(between: bytes, times: int = 1) -> bytes:
    whole = encoded("JPEG")
    return whole[:2] + between * times + whole[2:]


def sized(width: int, height: int) -> bytes:
    """Return a JPEG whose header says that it is that large."""
    return encoded("JPEG", size=(24, 16)).replace(struct.pack(">HH", 16, 24), struct.pack(">HH", height, width), 1)


def scans(times: int) -> bytes:
    """Return a progressive JPEG that repeats its last scan: some bytes each, and each the work of the whole picture."""
    whole = encoded("JPEG", "L", (4000, 4000), progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * times + whole[-2:]


def gif(width: int, height: int, frames: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\x00"
    return screen + frame * frames + b"\x3b"


def tiff(directories: int, *, circular: bool, tag: tuple[int, int, int, int] | None = None) -> bytes:
    """Return a TIFF with so many directories, the last of which may name the first as the next."""
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (278, 3, 1, 8), (279, 4, 1, 64), *([tag] if tag else [])]
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for at in range(directories):
        last = at == directories - 1
        following = (8 if circular else 0) if last else len(out) + 6 + 12 * len(tags)
        out += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *each) for each in tags)
        out += struct.pack("<I", following)
    return bytes(out) + bytes(64)


def bmp(width: int, height: int, runs: bytes) -> bytes:
    """Return a BMP of 8 bits with run lengths."""
    palette = bytes(1024)
    at = 14 + 40 + len(palette)
    file = b"BM" + struct.pack("<IHHI", at + len(runs), 0, 0, at)
    return file + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0) + palette + runs


def moving(kind: str) -> bytes:
    more = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    return encoded(kind, size=(8, 8), save_all=True, append_images=more)


def rubbish_exif() -> bytes:
    tags = struct.pack("<H", 200) + b"".join(struct.pack("<HHII", 0x0112 + at, at % 20, 2**31, 4) for at in range(200))
    return encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + tags)


ZEROS = 100_000_000

FILES: dict[str, tuple[Made, str | None]] = {
    "nothing.png": (lambda: b"", "image_empty"),
    "one-byte.png": (lambda: b"\x89", "image_unreadable"),
    "nuls.jpg": (lambda: bytes(100_000), "image_unreadable"),
    "page.png": (lambda: b"<!doctype html><script>alert(1)</script>", "image_unreadable"),
    "archive-behind.png": (lambda: png() + b"PK\x05\x06" + bytes(18), None),
    "script-behind.gif": (lambda: gif(8, 8, 1) + b"*/=1;alert(1)", None),
    "page-in-comment.jpg": (lambda: jpeg(b"\xff\xfe" + struct.pack(">H", 30) + b"<script>alert(1)</script>   "), None),
    "pdf-before.jpg": (lambda: b"%PDF-1.4\n" + encoded("JPEG"), "image_format_refused"),
    "svg.png": (lambda: b'<?xml version="1.0"?><svg onload="alert(1)"/>', "image_format_refused"),
    "profile-bomb.png": (lambda: png(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(ZEROS)))), "image_unreadable"),
    "text-bomb.png": (lambda: png(chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(ZEROS)))), "image_unreadable"),
    "texts-bomb.png": (lambda: png(chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(10**6))) * 100), "image_unreadable"),
    "long-text.png": (lambda: png(chunk(b"tEXt", b"a\0" + b"x" * 20_000_000)), None),
    "chunks.png": (lambda: png(chunk(b"abCd", b"") * (FULL // 12)), "image_too_large"),
    "texts.png": (lambda: png(chunk(b"tEXt", b"a\0") * (FULL // 14)), "image_too_large"),
    "pixels-bomb.png": (lambda: png(pixels=bytes(ZEROS)), None),
    "header-60000.png": (lambda: png(head=header(60_000, 60_000)), "image_too_large"),
    "header-2-31.png": (lambda: png(head=header(2**31 - 1, 2**31 - 1)), "image_too_large"),
    "zero-wide.png": (lambda: png(head=header(0, 8)), "image_unreadable"),
    "interlaced-bomb.png": (lambda: png(head=header(7_900, 7_900, 8, 2, 1)), None),
    "wrong-depth.png": (lambda: png(head=header(8, 8, 3, 2)), "image_unreadable"),
    "frames-4e9.png": (lambda: png(chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0))), None),
    "apng.png": (lambda: moving("PNG"), "image_too_large"),
    "65535x65535.jpg": (lambda: sized(65_535, 65_535), "image_too_large"),
    "zero-high.jpg": (lambda: sized(8, 0), "image_unreadable"),
    "fill.jpg": (lambda: jpeg(b"\xff", FULL), "image_too_large"),
    "segments.jpg": (lambda: jpeg(b"\xff\xe0\0\2", FULL // 4), "image_too_large"),
    "comments.jpg": (lambda: jpeg(b"\xff\xfe\0\2", FULL // 4), "image_too_large"),
    "tables.jpg": (lambda: jpeg(b"\xff\xdb\0\2", FULL // 4), "image_too_large"),
    "standing-alone.jpg": (lambda: jpeg(b"\xff\xd0", FULL // 2), "image_too_large"),
    "junk.jpg": (lambda: jpeg(b"\xff\xfe\0\2" + bytes(FULL - 10)), "image_too_large"),
    "scans.jpg": (lambda: scans(1_000), "image_too_large"),
    "length-1.jpg": (lambda: jpeg(b"\xff\xe0\0\1"), None),
    "rubbish-exif.jpg": (rubbish_exif, None),
    "cmyk.jpg": (lambda: encoded("JPEG", "CMYK"), None),
    "frames-100000.gif": (lambda: gif(8, 8, 100_000), "image_too_large"),
    "huge-two-frames.gif": (lambda: gif(7_900, 7_900, 2), "image_too_large"),
    "lzw-lies.gif": (lambda: gif(7_900, 7_900, 1), None),
    "comments.gif": (lambda: gif(8, 8, 0)[:-1] + b"\x21\xfe" + b"\1a" * (FULL // 2) + b"\0;", "image_too_large"),
    "circular.tif": (lambda: tiff(1, circular=True), None),
    "circular-3.tif": (lambda: tiff(3, circular=True), "image_too_large"),
    "chain.tif": (lambda: tiff(100_000, circular=False), "image_too_large"),
    "greedy-tag.tif": (lambda: tiff(1, circular=False, tag=(40_000, 7, 2**32 - 1, 0)), None),
    "moving.webp": (lambda: moving("WEBP"), "image_too_large"),
    "length-lies.webp": (lambda: encoded("WEBP")[:4] + b"\xff\xff\xff\x7f" + encoded("WEBP")[8:], "image_unreadable"),
    "run-lies.bmp": (lambda: bmp(4_000, 4_000, b"\0\2\xff\xff" * 10 + b"\xff\x01" * 50_000), None),
    "runs.bmp": (lambda: bmp(7_900, 7_900, b"\0\0" * (FULL // 2)), "image_too_large"),
    "upside-down.bmp": (lambda: bmp(8, -8, b"\0\1"), None),
    "zero.bmp": (lambda: bmp(0, 0, b"\0\1"), "image_unreadable"),
    "sixteen-bits.png": (lambda: encoded("PNG", "I;16"), None),
    "one-bit.png": (lambda: encoded("PNG", "1"), None),
    "clear-palette.png": (lambda: encoded("PNG", "P", transparency=1), None),
    "grey-alpha.png": (lambda: encoded("PNG", "LA"), None),
    "floats.tif": (lambda: encoded("TIFF", "F"), None),
}

WHOLE = {kind: f"cut.{kind.lower()}" for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")}


def cut() -> dict[str, bytes]:
    """Return a picture of each format, cut off at offsets from its first bytes to its last."""
    noise = Image.effect_noise((64, 48), 80).convert("RGB")
    found = {}
    for kind, name in WHOLE.items():
        out = io.BytesIO()
        noise.save(out, kind)
        data = out.getvalue()
        for at in sorted({1, 4, 12, 20, 30, 54, len(data) // 4, len(data) // 2, len(data) - 30, len(data) - 1}):
            found[f"{at}-{name}"] = data[:at]
    return found
