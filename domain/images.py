"""What an image may be: formats, limits, and the reference by which everything else names it. No pixels here."""

from pydantic import Field

from domain.geometry import Value

FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
}
"""The allow-list: Pillow's name of a format -> its media type."""

SEALED = "application/vnd.sightline.sealed"
"""The media type of an original of patient data, encrypted. Nobody is shown one; its width and height are told as 1."""


class ImageLimits(Value):
    """What is taken in. Checked on the header, before a pixel is decoded."""

    max_bytes: int = Field(default=32 * 1024 * 1024, gt=0)
    max_pixels: int = Field(default=64_000_000, gt=0)
    max_frames: int = Field(default=1, gt=0)


class ImageRef(Value):
    """A stored image: named by the SHA-256 of its bytes, with what its header says."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    media_type: str
    bytes: int = Field(gt=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)
