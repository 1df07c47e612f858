"""Fuzz target: the look at an image before it is stored. Any bytes are a reference or a typed refusal."""

import io
import logging
import warnings

import atheris

with atheris.instrument_imports(
    include=["PIL", "storage.image_check", "storage.image_containers", "storage.image_costs"]
):
    from PIL import Image

    from domain.errors import ImageRejected
    from domain.images import ImageLimits
    from storage.image_check import examine

from tests.fuzz.fuzzing import fuzz

LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000)


def look(data: bytes) -> None:
    """Look at it."""
    said = ""
    try:
        ref = examine(data, LIMITS, "fuzzed")
    except ImageRejected as error:
        said = error.message
    if said:
        assert said.startswith("fuzzed ")
    else:
        assert 0 < ref.width * ref.height <= LIMITS.max_pixels
        assert ref.bytes == len(data)


def seeds() -> list[bytes]:
    """Return a small picture of each format and mode."""
    found = []
    for kind, mode, options in (
        ("PNG", "RGB", {}),
        ("PNG", "P", {"transparency": 0}),
        ("PNG", "I;16", {}),
        ("JPEG", "RGB", {"progressive": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}),
        ("JPEG", "CMYK", {}),
        ("GIF", "P", {}),
        ("GIF", "P", {"save_all": True, "append_images": [Image.new("P", (8, 8), 3)]}),
        ("WEBP", "RGBA", {}),
        ("TIFF", "RGB", {}),
        ("TIFF", "1", {"compression": "group4"}),
        ("BMP", "RGB", {}),
        ("BMP", "1", {}),
        ("MPO", "RGB", {"save_all": True, "append_images": [Image.new("RGB", (8, 8), 3)]}),
    ):
        out = io.BytesIO()
        Image.new(mode, (8, 8), 1).save(out, kind, **options)
        found.append(out.getvalue())
    return [b"", b"%PDF-1.4", b"<svg/>", b"version https://git-lfs", *found]


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")  # as in production, where a plug-in's warning is no error
    fuzz(look, seeds())
