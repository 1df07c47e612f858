"""What the header of a picture says: whether it is one, and its size. No pixel is decoded."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from domain.errors import ImageTooLarge, InvalidRequest
from domain.images import FORMATS

ORIENTATION, TURNED = 0x0112, frozenset({5, 6, 7, 8})
"""The EXIF tag of a picture that is shown otherwise than it is stored, and its values for a quarter turn."""


@dataclass(frozen=True)
class Header:
    """A picture's size as it is stored, and whether it is shown turned by a quarter."""

    stored: tuple[int, int]
    turned: bool

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        return self.stored[::-1] if self.turned else self.stored


def header(path: Path) -> Header:
    """Read the header of a picture. Raises InvalidRequest where it is none, ImageTooLarge where none could hold it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is too large, which is said where limits are known
            with Image.open(path, formats=list(FORMATS)) as opened:
                # A PNG may have its EXIF behind its pixels, and Pillow would decode all of them to see.
                told = opened.format != "PNG" or "exif" in opened.info
                return Header(opened.size, told and opened.getexif().get(ORIENTATION) in TURNED)
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"{path}: {error}", image=str(path)) from error
    except Exception as error:
        # Plug-ins raise OSError, SyntaxError, ValueError, struct.error and more for damaged files.
        raise InvalidRequest(f"{path} cannot be read as an image: {error}; take it out, or replace it") from error
