"""From bytes to pixels: limits on the header first, then decoding, then EXIF orientation applied and reported."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from domain.errors import ImageTooLarge, ImageUnreadable
from domain.images import FORMATS, ImageLimits
from storage.image_check import bound, quiet

Pixels = npt.NDArray[np.uint8]
"""A picture as H × W × 3, RGB."""

ORIENTATION = 0x0112
"""The EXIF tag."""


@dataclass(frozen=True)
class Decoded:
    """Upright RGB pixels, and the EXIF orientation (1 to 8; 1 is upright) that was undone to get them."""

    pixels: Pixels
    orientation: int


def decode(data: bytes, limits: ImageLimits, name: str = "image") -> Decoded:
    """Decode an image.

    Raises ImageUnreadable or ImageTooLarge (pixels, frames), which name the image and why.
    """
    quiet()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of is either bounded below or an error anyway
            with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
                bound(image, limits, name)
                orientation = image.getexif().get(ORIENTATION, 1)
                upright = ImageOps.exif_transpose(image)
                return Decoded(
                    np.array(_flat(upright), dtype=np.uint8), orientation if orientation in range(1, 9) else 1
                )
    except (ImageTooLarge, ImageUnreadable):
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit lies above ours and comes before it
        raise ImageTooLarge(f"{name}: {error}; at most {limits.max_pixels} pixels are taken") from error
    except UnidentifiedImageError as error:
        raise ImageUnreadable(f"{name} is not an image in a format that is taken: {', '.join(FORMATS)}") from error
    except MemoryError:
        raise
    except Exception as error:
        # Plug-ins raise OSError, SyntaxError, ValueError, struct.error and more for damaged files.
        raise ImageUnreadable(f"{name} is damaged or cut off: {error}") from error


def _flat(image: Image.Image) -> Image.Image:
    """Return RGB: transparency over white, 16-bit grey scaled to 8 bits rather than cut."""
    if image.mode in {"I;16", "I;16B", "I;16L", "I", "F"}:
        values = np.asarray(image, dtype=np.float32)
        low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (float(values.min()), float(values.max()))
        scaled = (values - low) * (255.0 / max(high - low, 1.0))
        return Image.fromarray(scaled.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
