"""Bar codes and QR codes in a picture."""

import cv2
import numpy as np
import numpy.typing as npt
import zxingcpp

from domain.geometry import Polygon
from domain.vision import Code


def codes(pixels: npt.NDArray[np.uint8]) -> tuple[Code, ...]:
    """Read every code of an H × W × 3 RGB picture that zxing-cpp knows, whichever way it is turned, from the top left.

    The quad begins at the code's own top left. Bytes that are no text by the code's own rules are read as ISO 8859-1,
    and a NUL, which no database keeps, stands as U+FFFD. A code whose check digits are wrong is none.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    found = [_code(each) for each in zxingcpp.read_barcodes(grey, text_mode=zxingcpp.TextMode.Plain)]
    return tuple(sorted(found, key=lambda code: (code.quad.box.y0, code.quad.box.x0)))


def _code(read: zxingcpp.Barcode) -> Code:
    place = read.position
    corners = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
    quad = Polygon(points=tuple((corner.x, corner.y) for corner in corners))
    return Code(format=read.format.name, text=read.text.replace("\0", "\ufffd"), quad=quad)
