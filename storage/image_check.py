"""Looking at an image before it is stored: what it is, how large, and whether its container is whole.

Reads headers and container structure only; no pixel is decoded, so that a small file cannot ask for much memory. Every
exception of Pillow becomes a typed error that names the file and says why. What decoding finds later (damaged entropy
data) is a typed error of the job.
"""

import hashlib
import io
import logging

from PIL import Image, UnidentifiedImageError

from domain.errors import ImageEmpty, ImageFormatRefused, ImageTooLarge, ImageUnreadable
from domain.images import FORMATS, ImageLimits, ImageRef
from storage.image_containers import cut_off
from storage.image_costs import too_costly

OTHERS = (
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"icns", "ICNS"),
    (0, b"\x00\x00\x00\x0cjP", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x00\x00\x00\x0cJXL", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"qoif", "QOI"),
    (0, b"%!PS", "PostScript"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"DDS ", "DDS"),
    (0, b"BPG\xfb", "BPG"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (128, b"DICM", "DICOM"),
)
"""Formats that are images, but not on the allow-list: (offset, first bytes, what people call it)."""

PACKED = {"MPO": "JPEG"}
"""A picture that cameras write as several JPEGs in one file counts as the first of them."""


def examine(data: bytes, limits: ImageLimits, name: str) -> ImageRef:
    """Return what an image is, by its header; `name` is what errors call it.

    Raises ImageEmpty, ImageTooLarge (bytes, pixels, frames), ImageFormatRefused and ImageUnreadable.
    """
    if not data:
        raise ImageEmpty(f"{name} is empty", image=name)
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"{name} has {len(data)} bytes; at most {limits.max_bytes} are taken", image=name)
    costly = too_costly(data)
    if costly:
        raise ImageTooLarge(f"{name} would take too long to read: it has {costly}", image=name)
    kind, width, height = _header(data, limits, name)
    why = cut_off(kind, data)
    if why:
        raise ImageUnreadable(f"{name} is damaged or cut off: {why}", image=name)
    sha256 = hashlib.sha256(data).hexdigest()
    return ImageRef(sha256=sha256, media_type=FORMATS[kind], bytes=len(data), width=width, height=height)


def quiet() -> None:
    """Keep what an image says of itself out of the logs: Pillow's debug lines quote the values of EXIF tags."""
    logging.getLogger("PIL").setLevel(logging.INFO)


def _header(data: bytes, limits: ImageLimits, name: str) -> tuple[str, int, int]:
    quiet()
    try:
        with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
            bound(image, limits, name)
            kind = PACKED.get(image.format or "", image.format or "")
            image.verify()
            return kind, image.width, image.height
    except (ImageTooLarge, ImageUnreadable):
        raise
    except UnidentifiedImageError as error:
        raise _unidentified(data, name) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(
            f"{name} has more pixels than are taken ({limits.max_pixels}): {error}", image=name
        ) from error
    except Exception as error:
        # Plug-ins raise SyntaxError, struct.error, ValueError, OverflowError and more for what they cannot parse.
        raise ImageUnreadable(f"{name} cannot be read: {_reason(error)}", image=name) from error


def bound(image: Image.Image, limits: ImageLimits, name: str) -> None:
    """Raise ImageTooLarge where the header says more pixels or frames than the limits allow."""
    pixels = image.width * image.height
    if pixels <= 0:
        raise ImageUnreadable(f"{name} says that it is {image.width}x{image.height} pixels", image=name)
    if pixels > limits.max_pixels:
        raise ImageTooLarge(
            f"{name} is {image.width}x{image.height}, {pixels} pixels; at most {limits.max_pixels} are taken",
            image=name,
        )
    if image.format not in PACKED and getattr(image, "is_animated", False) and _frames_exceed(image, limits.max_frames):
        raise ImageTooLarge(f"{name} has more than {limits.max_frames} frame(s), the most that are taken", image=name)


def _frames_exceed(image: Image.Image, most: int) -> bool:
    """Look for one frame more than allowed: counting them all would walk a hostile file to its end.

    That there is a second one is known; to look at it GIF and PNG would decode the first, of up to 64 million pixels.
    """
    if most == 1 and image.format != "TIFF":
        return True
    try:
        image.seek(most)
    except EOFError:
        return False
    finally:
        image.seek(0)
    return True


def _unidentified(data: bytes, name: str) -> ImageFormatRefused | ImageUnreadable:
    taken = ", ".join(FORMATS)
    for offset, magic, what in OTHERS:
        if data[offset : offset + len(magic)] == magic:
            return ImageFormatRefused(f"{name} is {what}; taken are {taken}", image=name, format=what)
    if data[:1000].lstrip().lower().startswith((b"<svg", b"<?xml")) and b"<svg" in data[:4000].lower():
        return ImageFormatRefused(f"{name} is SVG, which is not a picture of pixels; taken are {taken}", image=name)
    if data.startswith(b"version https://git-lfs"):
        return ImageUnreadable(f"{name} is a Git LFS pointer, not the image itself; run `git lfs pull`", image=name)
    return ImageUnreadable(f"{name} is not an image, or is damaged at its start; taken are {taken}", image=name)


def _reason(error: Exception) -> str:
    told = str(error).strip()
    return told if told and "BytesIO" not in told else type(error).__name__
