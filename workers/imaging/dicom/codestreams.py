"""What a compressed frame says of its own size, before it is decoded.

A JPEG, JPEG-LS or JPEG 2000 stream has a size of its own, beside that of the DICOM header. Decoders believe the stream:
a few hundred bytes under an innocent header can ask for gigabytes.
"""

JPEG_START = b"\xff\xd8"
J2K_START = b"\xff\x4f\xff\x51"
JP2_START = b"\x00\x00\x00\x0cjP  "
STANDING_ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length: TEM, RSTn, SOI."""
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""SOFn of JPEG (ITU-T T.81, table B.1, without DHT, JPG and DAC) and SOF55 of JPEG-LS (ITU-T T.87)."""


def declared_size(frame: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) as the stream's own header has them, or None where it is no such stream.

    Raises ValueError or IndexError for a stream that ends within its header.
    """
    if frame.startswith(JPEG_START):
        return _jpeg_size(frame)
    start = frame.find(J2K_START) if frame.startswith(JP2_START) else 0
    if start >= 0 and frame[start : start + 4] == J2K_START:
        return _j2k_size(frame[start:])
    return None


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    """Walk the marker segments to the frame header: length (2), precision (1), lines (2), samples per line (2)."""
    at = 2
    while True:
        while frame[at] == 0xFF and frame[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker = frame[at + 1]
        if frame[at] != 0xFF or marker in {0xD9, 0xDA}:
            raise ValueError("no frame header before the scan")
        if marker in FRAME_HEADERS:
            return _number(frame, at + 5, 2), _number(frame, at + 7, 2)
        at += 2 if marker in STANDING_ALONE else 2 + max(_number(frame, at + 2, 2), 2)


def _j2k_size(stream: bytes) -> tuple[int, int]:
    """Read SIZ (ITU-T T.800, A.5.1): the image area is the reference grid less its offset."""
    across, down, left, top = (_number(stream, 8 + 4 * part, 4) for part in range(4))
    return down - top, across - left


def _number(data: bytes, at: int, length: int) -> int:
    part = data[at : at + length]
    if len(part) < length:
        raise ValueError("the stream ends within its header")
    return int.from_bytes(part, "big")
