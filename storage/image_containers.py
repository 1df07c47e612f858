"""Whether an image file is whole, told from its container alone: markers, chunks, blocks and lengths, no pixels."""

import struct
from collections.abc import Callable

JPEG_END = b"\xff\xd9"


def cut_off(kind: str, data: bytes) -> str | None:
    """Say what is missing from a file of that format (Pillow's name), where its container tells; None where not.

    Formats without such a container (BMP, TIFF) are judged when they are decoded.
    """
    look = _LOOKS.get(kind)
    try:
        return look(data) if look else None
    except (struct.error, IndexError):
        return "it ends within a header"


def _jpeg(data: bytes) -> str | None:
    """Walk a JPEG's segments to its first scan, and look for the end marker behind it.

    A thumbnail within the EXIF segment has an end marker of its own, so that a plain search would find that one. Within
    entropy-coded data an FF byte is always stuffed, so that FF D9 there is the end (ITU-T T.81, B.1.1.2 and B.1.1.5).
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            break
        if marker == 0xFF:
            at += 1  # a fill byte
        elif 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 2  # a marker that stands alone
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    # Decoders skip junk between segments, so that a walk that ends early is no error by itself.
    return None if data.find(JPEG_END, at) >= 0 else "its end marker is missing"


def _png(data: bytes) -> str | None:
    return None if b"IEND" in data[-4096:] else "its last chunk (IEND) is missing"


def _webp(data: bytes) -> str | None:
    promised = struct.unpack_from("<I", data, 4)[0] + 8
    return f"its header promises {promised} bytes, there are {len(data)}" if promised > len(data) else None


def _gif(data: bytes) -> str | None:
    """Walk a GIF's blocks (GIF89a, appendix B). A missing trailer alone is harmless: every block before it is whole."""
    at = 13 + _table(data[10])
    while at < len(data):
        kind = data[at]
        if kind == 0x2C:  # an image: descriptor, its own colours, code size, sub-blocks
            at = _behind_blocks(data, at + 11 + _table(data[at + 9]))
        elif kind == 0x21:  # an extension: label, sub-blocks
            at = _behind_blocks(data, at + 2)
        else:  # the trailer, or junk that decoders do not reach
            return None
    return None if at == len(data) else "it ends within a block"


def _table(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(data: bytes, at: int) -> int:
    """Return where a chain of sub-blocks ends; beyond the data where it does not."""
    while at < len(data):
        length = data[at]
        at += 1 + length
        if not length:
            return at
    return len(data) + 1


_LOOKS: dict[str, Callable[[bytes], str | None]] = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _gif}
