"""What a reviewer is shown first: small, grey and blurred, so that a look at a queue does not harm who looks."""

import io

from PIL import ImageFilter

from gateway.drawing.picture import decoded

SIDE = 160
BLUR = 4.0
"""The radius of the blur, in pixels of the thumbnail."""


def thumbnail(data: bytes) -> bytes:
    """Return a PNG of at most 160 × 160 pixels, upright, grey and blurred, without metadata.

    Raises ImageUnreadable.
    """
    grey = decoded(data, 2 * SIDE).convert("L")
    grey.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    grey.filter(ImageFilter.GaussianBlur(BLUR)).save(out, "PNG")
    return out.getvalue()
