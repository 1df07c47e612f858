"""From stored values to what is shown: modality, VOI and presentation, in the order of PS3.4 N.2.

The transformations are pydicom's and highdicom's. highdicom's `Image.get_frame` does the three in one; it is not used,
because it moves a window through the rescale slope (with a LINEAR window that is another curve, PS3.3 C.11.2.1.2.1, as
soon as the slope is not 1), does not scale or invert a VOI LUT behind a modality LUT, and takes no big-endian data; see
docs/decisions/0023-dicom.md.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from highdicom import VOILUTFunctionValues
from highdicom.pixels import apply_voi_window
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from domain.errors import DicomUnreadable
from workers.imaging.decode import Pixels
from workers.imaging.dicom.groups import places
from workers.imaging.dicom.guarding import guarded
from workers.imaging.dicom.reading import Instance, numbers, text
from workers.imaging.dicom.stored import Stored, StoredFrame, stored_frame

WHITE = 255.0
TOLERANCE = 1e-9
MODALITY = "PixelValueTransformationSequence"
VOI = "FrameVOILUTSequence"

Values = npt.NDArray[np.float64]


class Voi(StrEnum):
    """What chose the range of values that is shown."""

    LUT = "lut"
    WINDOW = "window"
    BITS = "bits"
    """No VOI in the file; up to 8 bits: all that the stored bits can say."""
    RANGE = "range"
    """No VOI in the file; more bits: from the least to the greatest value of the frame, padding aside."""
    COLOUR = "colour"
    """Colours are shown as they are."""


@dataclass(frozen=True)
class Frame:
    """A frame as it is shown: H x W x 3, RGB, black to white whatever the photometric interpretation."""

    pixels: Pixels
    voi: Voi


@dataclass(frozen=True)
class Window:
    """A VOI window in the units of the modality."""

    center: float
    width: float
    function: VOILUTFunctionValues


def frame(instance: Instance, index: int, *, whole_range: bool = False) -> Frame:
    """Return a frame (from 0) as it is shown. With `whole_range` the file's VOI is passed over.

    The first VOI of the file counts, a LUT before a window. Values are scaled to 0..255 in double precision and rounded
    to the nearest, halves up. Colours of more than 8 bits are scaled by their bits; ICC profiles are not applied.
    Raises TransferSyntaxRefused and DicomUnreadable.
    """
    _check(instance, index)
    return rendered(instance, index, stored_frame(instance, index), whole_range=whole_range)


def rendered(instance: Instance, index: int, stored: StoredFrame, *, whole_range: bool = False) -> Frame:
    """Return stored values as the frame (from 0) of this instance is shown; see `frame`. Raises DicomUnreadable."""
    message = f"{instance.name}: frame {index + 1} has a damaged transformation (modality, VOI or palette)"
    with guarded(message, image=instance.name):
        if not instance.pixels.monochrome:
            return Frame(_coloured(instance, stored), Voi.COLOUR)
        values = _modality(instance, index, stored.values)
        shown, voi = _shown(instance, index, stored.values, values, whole_range)
        grey = _bytes(WHITE - shown if _inverse(instance) else shown)
        return Frame(np.repeat(grey[..., None], 3, axis=2), voi)


def physical(instance: Instance, index: int) -> tuple[Values, str]:
    """Return a frame (from 0) in the units of its modality (H x W, after LUT or rescale), and the units.

    The units are the standard's term ("HU", "OD", "US" for unspecified), or empty where the file says nothing. Raises
    DicomUnreadable where the frame has colours.
    """
    _check(instance, index)
    if not instance.pixels.monochrome:
        raise DicomUnreadable(f"{instance.name} has colours, not measured values", image=instance.name)
    stored = stored_frame(instance, index)
    message = f"{instance.name}: frame {index + 1} has a damaged modality transformation"
    with guarded(message, image=instance.name):
        return _modality(instance, index, stored.values).astype(np.float64), _units(instance, index)


def window(instance: Instance, index: int) -> Window | None:
    """Return the first usable window of a frame (from 0): a width of 1 and more for LINEAR, above 0 for the others."""
    for place in places(instance.dataset, index, VOI):
        centers, widths = _first(place, "WindowCenter"), _first(place, "WindowWidth")
        if centers is None or widths is None:
            continue
        said = text(place, "VOILUTFunction").upper()
        known = said in {function.value for function in VOILUTFunctionValues}
        function = VOILUTFunctionValues(said) if known else VOILUTFunctionValues.LINEAR
        if widths >= 1 or (widths > 0 and function is not VOILUTFunctionValues.LINEAR):
            return Window(centers, widths, function)
    return None


def _check(instance: Instance, index: int) -> None:
    if not 0 <= index < instance.pixels.frames:
        raise DicomUnreadable(
            f"{instance.name} has {instance.pixels.frames} frame(s), not a frame {index + 1}", image=instance.name
        )


def _modality(instance: Instance, index: int, stored: Stored) -> npt.NDArray[np.generic]:
    """Apply the modality LUT or the rescale slope and intercept; either of the two may be missing."""
    if instance.dataset.get("ModalityLUTSequence"):
        return apply_modality_lut(stored.astype(np.int64), instance.dataset)
    for place in places(instance.dataset, index, MODALITY):
        slope, intercept = numbers(place, "RescaleSlope", 1), numbers(place, "RescaleIntercept", 1)
        if slope or intercept:
            rescale = Dataset()
            rescale.RescaleSlope = (slope[0] if slope else 0.0) or 1.0  # a slope of 0 says nothing
            rescale.RescaleIntercept = intercept[0] if intercept else 0.0
            return apply_modality_lut(stored, rescale)
    return stored


def _units(instance: Instance, index: int) -> str:
    if instance.dataset.get("ModalityLUTSequence"):
        return text(instance.dataset.ModalityLUTSequence[0], "ModalityLUTType")
    for place in places(instance.dataset, index, MODALITY):
        if "RescaleIntercept" in place:
            # PS3.3 C.11.1.1.2: the rescale type may be left out of a CT image whose values are Hounsfield units.
            return text(place, "RescaleType") or ("HU" if text(instance.dataset, "Modality") == "CT" else "")
    return ""


def _shown(
    instance: Instance, index: int, stored: Stored, values: npt.NDArray[np.generic], whole_range: bool
) -> tuple[Values, Voi]:
    """Bring values to 0..255 by the VOI, or by their range where there is none."""
    lut = None if whole_range else _voi_lut(instance, index)
    if lut is not None:
        table = lut.VOILUTSequence[0]
        mapped = apply_voi(np.rint(values).astype(np.int64), lut)
        return mapped * (WHITE / (2 ** int(table.LUTDescriptor[2]) - 1)), Voi.LUT
    chosen = None if whole_range else window(instance, index)
    if chosen is not None:
        return _windowed(values.astype(np.float64), chosen), Voi.WINDOW
    if instance.pixels.stored <= 8 and values is stored:
        low = -(2 ** (instance.pixels.stored - 1)) if instance.pixels.signed else 0
        return (stored.astype(np.float64) - low) * (WHITE / (2**instance.pixels.stored - 1)), Voi.BITS
    return _stretched(values.astype(np.float64), _padding(instance, stored)), Voi.RANGE


def _voi_lut(instance: Instance, index: int) -> Dataset | None:
    """Return a dataset with the frame's VOI LUT, in the byte order of the file."""
    for place in places(instance.dataset, index, VOI):
        if place.get("VOILUTSequence"):
            holder = Dataset()
            holder.VOILUTSequence = place.VOILUTSequence
            holder.file_meta = instance.dataset.file_meta
            return holder
    return None


def _windowed(values: Values, chosen: Window) -> Values:
    if chosen.function is VOILUTFunctionValues.LINEAR and chosen.width == 1:
        # The slope would be infinite: PS3.3 C.11.2.1.2.1 makes it a threshold.
        return np.where(values > chosen.center - 0.5, WHITE, 0.0)
    with np.errstate(over="ignore"):
        return apply_voi_window(
            values,
            window_center=chosen.center,
            window_width=chosen.width,
            voi_lut_function=chosen.function,
            output_range=(0.0, WHITE),
        )


def _stretched(values: Values, padding: npt.NDArray[np.bool_]) -> Values:
    meant = values[~padding & np.isfinite(values)]
    if meant.size == 0 or meant.min() == meant.max():
        return np.zeros_like(values)
    low, high = float(meant.min()), float(meant.max())
    return np.clip((np.nan_to_num(values) - low) * (WHITE / (high - low)), 0.0, WHITE)


def _padding(instance: Instance, stored: Stored) -> npt.NDArray[np.bool_]:
    """Return which pixels lie outside the picture by the padding value or range (PS3.3 C.7.5.1.1.2)."""
    value = numbers(instance.dataset, "PixelPaddingValue", 1)
    if value is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    limit = numbers(instance.dataset, "PixelPaddingRangeLimit", 1) or value
    numbered = stored.astype(np.float64)
    return (numbered >= min(value[0], limit[0])) & (numbered <= max(value[0], limit[0]))


def _inverse(instance: Instance) -> bool:
    shape = text(instance.dataset, "PresentationLUTShape")
    return shape == "INVERSE" if shape else instance.pixels.photometric == "MONOCHROME1"


def _coloured(instance: Instance, stored: StoredFrame) -> Pixels:
    values, bits = stored.values, instance.pixels.stored
    if stored.photometric == "PALETTE COLOR":
        values = apply_color_lut(values.astype(np.int64), instance.dataset)[..., :3]
        bits = values.dtype.itemsize * 8
    if values.dtype == np.uint8 and bits == 8:
        return np.asarray(values, dtype=np.uint8)
    return _bytes(values.astype(np.float64) * (WHITE / (2**bits - 1)))


def _bytes(values: Values) -> Pixels:
    # What is a half in the formula may come out just below it in double precision: it is still rounded up.
    return np.floor(np.clip(values, 0.0, WHITE) + (0.5 + TOLERANCE)).astype(np.uint8)


def _first(place: Dataset, keyword: str) -> float | None:
    """Return the first of one or more numbers."""
    value = place.get(keyword)
    several = value if isinstance(value, list) or hasattr(value, "append") else [value]
    try:
        return float(several[0]) if np.isfinite(float(several[0])) else None
    except (TypeError, ValueError, IndexError):
        return None
