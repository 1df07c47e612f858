"""From bytes to a checked DICOM dataset: limits first, then what a picture must say of itself. No pixel is decoded."""

import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from pydicom import Dataset, FileDataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from domain.errors import DicomUnreadable, ImageEmpty, ImageTooLarge
from domain.images import ImageLimits
from workers.imaging.dicom.guarding import guarded
from workers.imaging.dicom.pixel_header import PixelHeader, pixel_header
from workers.imaging.dicom.syntaxes import refused

PREAMBLE = 128
PREFIX = b"DICM"
BEGINNINGS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""The first group of a file without preamble: 0002, or 0008 in either byte order."""
INFLATED = DeflatedExplicitVRLittleEndian.encode()
PLAIN = ExplicitVRLittleEndian.encode()


@dataclass(frozen=True)
class Instance:
    """One DICOM object with a picture. `dataset` is read, never changed; `name` is what messages call the file."""

    dataset: Dataset
    name: str
    transfer_syntax: UID
    pixels: PixelHeader
    study: str
    series: str
    uid: str
    series_number: int | None
    number: int | None
    position: float | None
    """Millimetres along the normal of the slice, where the file says where the slice lies."""


def read(data: bytes, limits: ImageLimits, name: str = "file") -> Instance:
    """Read a DICOM file and check what it says of its pixels.

    `max_pixels` of the limits is rows x columns x frames, `max_bytes` also what a deflated file inflates to.
    Raises ImageEmpty, ImageTooLarge (bytes, pixels, frames), DicomUnreadable and TransferSyntaxRefused (a syntax that
    the standard does not know), which name the file and the reason and never quote a value of it.
    """
    if not data:
        raise ImageEmpty(f"{name} is empty", image=name)
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"{name} has {len(data)} bytes; at most {limits.max_bytes} are taken", image=name)
    with guarded(f"{name} is damaged, cut off or not a DICOM file; export it again", image=name):
        dataset = _dataset(data, limits, name)
        syntax = _transfer_syntax(dataset, name)
    with guarded(f"{name} has a damaged header; export it again", image=name):
        header = pixel_header(dataset, syntax, limits, name)
        return Instance(
            dataset=dataset,
            name=name,
            transfer_syntax=syntax,
            pixels=header,
            study=_uid(dataset, "StudyInstanceUID"),
            series=_uid(dataset, "SeriesInstanceUID"),
            uid=_uid(dataset, "SOPInstanceUID"),
            series_number=whole(dataset, "SeriesNumber"),
            number=whole(dataset, "InstanceNumber"),
            position=_position(dataset),
        )


def whole(dataset: Dataset, keyword: str) -> int | None:
    """Return an integer of the dataset, or None where it is absent, empty, several or no integer."""
    try:
        return int(dataset.get(keyword))  # of None: the TypeError below
    except (TypeError, ValueError, OverflowError):
        return None


def numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return so many finite numbers of the dataset, or None where it has not exactly that."""
    try:
        value = dataset.get(keyword)
        found = (float(value),) if count == 1 else tuple(float(part) for part in value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if len(found) == count and bool(np.isfinite(found).all()) else None


def text(dataset: Dataset, keyword: str) -> str:
    """Return a text of the dataset, stripped; empty where it is absent or several."""
    try:
        value = dataset.get(keyword)
    except ValueError:
        return ""
    return value.strip() if isinstance(value, str) else ""


def _dataset(data: bytes, limits: ImageLimits, name: str) -> FileDataset:
    prefixed = data[PREAMBLE : PREAMBLE + len(PREFIX)] == PREFIX
    if not prefixed and data[:2] not in BEGINNINGS:
        raise DicomUnreadable(f"{name} is not a DICOM file", image=name)
    if INFLATED in data:
        data = _inflated(data, PREAMBLE + len(PREFIX) if prefixed else 0, limits, name)
    return dcmread(BytesIO(data), force=not prefixed)


def _inflated(data: bytes, start: int, limits: ImageLimits, name: str) -> bytes:
    """Undo the deflation of a whole dataset within the limit: pydicom would inflate it whatever it comes to."""
    stream = BytesIO(data)
    stream.seek(start)
    meta = read_dataset(
        stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2
    )
    list(meta)  # converts each element: what pydicom would read again in another way is refused here
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return data
    head, packed = data[: stream.tell()], data[stream.tell() :]
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(packed, limits.max_bytes)
    if inflater.unconsumed_tail:
        raise ImageTooLarge(f"{name} inflates to more than the {limits.max_bytes} bytes that are taken", image=name)
    return head.replace(INFLATED, PLAIN.ljust(len(INFLATED), b"\0")) + inflated


def _transfer_syntax(dataset: FileDataset, name: str) -> UID:
    """Return the transfer syntax; where the file names none, that in which pydicom could read it."""
    if not hasattr(dataset, "file_meta") or dataset.file_meta is None:
        dataset.file_meta = FileMetaDataset()
    said = dataset.file_meta.get("TransferSyntaxUID")
    if said:
        syntax = UID(str(said))
        if not syntax.is_transfer_syntax:
            raise refused(syntax, name)
        return syntax
    element = dataset.get_item("PixelData")
    if element is not None and getattr(element, "length", 0) == 0xFFFFFFFF:
        raise DicomUnreadable(
            f"{name} has compressed pixels and names no transfer syntax (0002,0010); export it as DICOM part 10",
            image=name,
        )
    implicit, little = dataset.original_encoding
    plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = plain
    return plain


def _uid(dataset: Dataset, keyword: str) -> str:
    return str(dataset.get(keyword) or "")


def _position(dataset: Dataset) -> float | None:
    place = numbers(dataset, "ImagePositionPatient", 3)
    axes = numbers(dataset, "ImageOrientationPatient", 6)
    if place is None or axes is None:
        return None
    return float(np.dot(np.cross(axes[:3], axes[3:]), place))
