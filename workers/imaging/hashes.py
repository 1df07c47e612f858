"""What a picture is found again by."""

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from domain.vision import Hashes
from workers.imaging.pdq import pdq


def hashes(pixels: npt.NDArray[np.uint8], sha256: str | None) -> Hashes:
    """Return the hashes of an H × W × 3 RGB picture, and with them that of its file, where it is one.

    `phash` is the 64 bits of `imagehash`, after N. Krawetz, "Looks like it", 2011.
    """
    digits, quality = pdq(pixels)
    phash = str(imagehash.phash(Image.fromarray(pixels)))
    return Hashes(pdq=digits, pdq_quality=quality, phash=phash, sha256=sha256)
