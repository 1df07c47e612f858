"""What an image would cost to open and to decode, where its container tells and the pixels do not.

Pillow walks a file's parts in Python: a JPEG of 32 MiB of fill bytes kept it busy for a minute and a half, one of empty
segments took a gigabyte besides. A progressive JPEG may repeat its scans, each of a hundred bytes and of the work of
the whole picture; BMP's run lengths are undone in Python too. So the parts are counted first, and counting ends at the
limit.
"""

import re
import struct
from collections.abc import Callable

from PIL.JpegImagePlugin import MARKER

MOST_SCANS = 64
"""Of a JPEG; progressive encoders write about ten."""
SCAN = b"\xff\xda"
REACHED = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""The end of an image or the marker of a segment: no stuffed byte, fill byte, restart, or what decoders skip."""
MOST_RUN_BYTES = 4 * 1024 * 1024
"""Of a BMP with run lengths."""


def too_costly(data: bytes) -> str | None:
    """Say what there is too much of; None where the cost is in order, or not to be told from the container."""
    for magic, look in _LOOKS:
        if data.startswith(magic):
            try:
                return look(data)
            except (struct.error, IndexError):
                return None  # it ends within a header, which is said elsewhere
    return None


def _parts(data: bytes, bytes_per_part: int) -> int:
    """Return how many parts a file of that size may have."""
    return 1_000 + len(data) // bytes_per_part


def _jpeg(data: bytes) -> str | None:
    """Walk as Pillow does, junk and fill bytes included, to the first scan."""
    if data.count(SCAN) > MOST_SCANS and _scans(data) > MOST_SCANS:
        return f"more than {MOST_SCANS} scans"
    at = 2
    for _ in range(_parts(data, 1024)):
        if data[at] != 0xFF:
            at += 1  # junk between segments
            continue
        marker = 0xFF00 | data[at + 1]
        if marker == 0xFFFF:
            at += 1  # a fill byte
        elif marker == 0xFF00:
            at += 2
        elif marker not in MARKER or marker == 0xFFDA:
            return None
        else:
            at += 2 if MARKER[marker][2] is None else 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return f"more than {_parts(data, 1024)} segments, fill bytes and bytes between segments"


def _scans(data: bytes) -> int:
    """Count the scans to the end marker; among too many parts too many are taken for granted.

    Behind the end lies what no decoder reads (phones append a film there), and within segments (EXIF) what only looks
    like scans. In entropy-coded data an FF byte is always stuffed (ITU-T T.81, B.1.1.5).
    """
    at, scans = 2, 0
    for _ in range(_parts(data, 1024)):
        found = REACHED.search(data, at)
        if found is None or data[found.start() + 1] == 0xD9:
            return scans
        scans += data[found.start() + 1] == 0xDA
        at = found.end() + int(struct.unpack_from(">H", data, found.end())[0])
    return MOST_SCANS + 1


def _png(data: bytes) -> str | None:
    at = 8
    for _ in range(_parts(data, 1024)):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return None
        at += 12 + length
    return f"more than {_parts(data, 1024)} chunks"


def _gif(data: bytes) -> str | None:
    """Count the sub-blocks of its images and extensions (GIF89a, appendix B)."""
    left = _parts(data, 64)
    at = 13 + _table(data[10])
    while data[at] in {0x21, 0x2C}:
        at += 2 if data[at] == 0x21 else 11 + _table(data[at + 9])
        while data[at]:
            at += 1 + data[at]
            left -= 1
            if left < 0:
                return f"more than {_parts(data, 64)} blocks"
        at += 1
        left -= 1
        if left < 0:
            return f"more than {_parts(data, 64)} blocks"
    return None


def _table(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _bmp(data: bytes) -> str | None:
    header, compression = struct.unpack_from("<I12xI", data, 14)
    runs = header >= 40 and compression in {1, 2}
    return f"more than {MOST_RUN_BYTES} bytes of run lengths" if runs and len(data) > MOST_RUN_BYTES else None


_LOOKS: tuple[tuple[bytes, Callable[[bytes], str | None]], ...] = (
    (b"\xff\xd8", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"GIF8", _gif),
    (b"BM", _bmp),
)
