"""What a DICOM dataset says of its pixels, checked before any of them is decoded."""

from dataclasses import dataclass

from pydicom import Dataset
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import UID

from domain.errors import DicomUnreadable, ImageTooLarge
from domain.images import ImageLimits
from workers.imaging.dicom.syntaxes import registered_name

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
"""The elements that may hold pixels; a dataset has one of them."""
ALLOCATED = {"PixelData": (1, 8, 16, 32), "FloatPixelData": (32,), "DoubleFloatPixelData": (64,)}
"""Bits allocated to a sample, for each of them."""
PHOTOMETRICS = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
"""The photometric interpretations that are shown -> samples of a pixel."""


@dataclass(frozen=True)
class PixelHeader:
    """Size and layout of the pixels. `stored` is the number of bits of a sample that mean something."""

    keyword: str
    rows: int
    columns: int
    frames: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str

    @property
    def monochrome(self) -> bool:
        """Whether a sample is a brightness: neither a colour nor an index into a palette."""
        return self.photometric.startswith("MONOCHROME")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame, each sample in whole bytes."""
        return self.rows * self.columns * self.samples * max(self.allocated // 8, 1)


def pixel_header(dataset: Dataset, syntax: UID, limits: ImageLimits, name: str) -> PixelHeader:
    """Return what the dataset says of its pixels.

    Raises DicomUnreadable where it has none, contradicts itself or ends early, ImageTooLarge for more than the limits.
    """
    held = [keyword for keyword in PIXELS if keyword in dataset]
    if not held:
        known = registered_name(UID(str(dataset.get("SOPClassUID", ""))))
        what = f" (it is: {known})" if known else ""
        raise DicomUnreadable(f"{name} has no pixel data{what}; send images", image=name)
    allocated = _number(dataset, "BitsAllocated", name)
    stored = _number(dataset, "BitsStored", name, allocated)
    header = PixelHeader(
        keyword=held[0],
        rows=_number(dataset, "Rows", name),
        columns=_number(dataset, "Columns", name),
        frames=_number(dataset, "NumberOfFrames", name, 1),
        samples=_number(dataset, "SamplesPerPixel", name, 1),
        allocated=allocated,
        stored=stored,
        high_bit=_number(dataset, "HighBit", name, stored - 1),
        signed=_number(dataset, "PixelRepresentation", name, 0) == 1,
        photometric=str(dataset.get("PhotometricInterpretation", "")).strip(),
    )
    _check_size(header, limits, name)
    wrong = _contradiction(header)
    if wrong:
        raise DicomUnreadable(f"{name} has a header that cannot be: {wrong}; export it again", image=name)
    if not syntax.is_encapsulated and len(dataset[header.keyword].value or b"") < get_expected_length(dataset):
        raise DicomUnreadable(f"{name} is cut off: its pixel data end before its last frame", image=name)
    return header


def _check_size(header: PixelHeader, limits: ImageLimits, name: str) -> None:
    if min(header.rows, header.columns, header.frames) < 1:
        raise DicomUnreadable(
            f"{name} has {header.frames} frame(s) of {header.columns} x {header.rows} pixels", image=name
        )
    if header.frames > limits.max_frames:
        raise ImageTooLarge(
            f"{name} has {header.frames} frames; at most {limits.max_frames} are taken: send it in parts", image=name
        )
    pixels = header.rows * header.columns * header.frames
    if pixels > limits.max_pixels:
        raise ImageTooLarge(
            f"{name} has {pixels} pixels in {header.frames} frame(s); at most {limits.max_pixels} are taken", image=name
        )


def _contradiction(header: PixelHeader) -> str | None:
    """Return which elements of the header cannot be together, if any."""
    samples = PHOTOMETRICS.get(header.photometric)
    if samples is None:
        return f"its photometric interpretation (0028,0004) is none of {', '.join(PHOTOMETRICS)}"
    if header.samples != samples:
        return f"{header.samples} samples per pixel (0028,0002) for {header.photometric}"
    if header.allocated not in ALLOCATED[header.keyword]:
        return f"{header.allocated} bits allocated (0028,0100)"
    if not 1 <= header.stored <= header.allocated:
        return f"{header.stored} bits stored (0028,0101) of {header.allocated} allocated"
    if header.keyword == "PixelData" and not header.stored - 1 <= header.high_bit < header.allocated:
        return f"the high bit (0028,0102) is {header.high_bit} for {header.stored} bits stored"
    return None


def _number(dataset: Dataset, keyword: str, name: str, absent: int | None = None) -> int:
    value = dataset.get(keyword)
    if value is None or value == "":
        if absent is not None:
            return absent
        raise DicomUnreadable(f"{name} lacks {keyword}, without which its pixels cannot be read", image=name)
    return int(value)
