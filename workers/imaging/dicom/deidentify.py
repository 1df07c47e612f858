"""A copy of a DICOM file that does not say who the patient is: the Basic Profile of PS3.15 Annex E.

The copy is built by a list of what may stay, not cut down: what the profile does not name is never taken over, so a
private, unknown or new element cannot slip through. Pixels are unpacked, read for burned-in text, and written
uncompressed, because compressed streams carry comments and thumbnails of their own. Where the original goes, and who
keeps the secret, is not decided here.
"""

from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from domain.geometry import Box
from workers.imaging.dicom.burned_in import Read, without_text
from workers.imaging.dicom.guarding import guarded
from workers.imaging.dicom.profile import BASIC, CHARACTERISTICS, CLEAN_PIXELS, MODIFIED_DATES, Code, Options, Record
from workers.imaging.dicom.pseudonyms import check_secret, days_back, mapped_patient, mapped_uid
from workers.imaging.dicom.reading import Instance
from workers.imaging.dicom.stored import StoredFrame, stored_frame
from workers.imaging.dicom.syntaxes import registered_name
from workers.imaging.dicom.taking_over import Log, Take, taken_over

METHOD = "Sightline, DICOM PS3.15 Annex E Basic Profile, allow-list"
"""At most 64 characters (LO)."""
PREAMBLE = b"\0" * 128


@dataclass(frozen=True)
class Deidentified:
    """The copy as a DICOM file (part 10, explicit VR little endian), and what was done to make it."""

    data: bytes
    record: Record


def deidentify(
    instance: Instance, secret: bytes, options: Options | None = None, read: Read | None = None
) -> Deidentified:
    """Return a de-identified copy.

    UIDs, the patient ID and the shift of dates follow from `secret` (16 bytes or more), so that files of one patient
    and study stay together. With `read` the pixels are searched for text, which is blanked (code 113101); without it
    the copy claims nothing about them. Raises TransferSyntaxRefused and DicomUnreadable where the pixels cannot be
    unpacked, ValueError for a secret that is too short.
    """
    check_secret(secret)
    options = options or Options()
    frames = [stored_frame(instance, index) for index in range(instance.pixels.frames)]
    frames, boxes = without_text(instance, frames, read) if read else (frames, ())
    with guarded(f"{instance.name} has a header that cannot be de-identified", image=instance.name):
        log = Log()
        patient = str(instance.dataset.get("PatientID") or "").strip() or instance.study or instance.uid
        take = Take(
            secret=secret,
            options=options,
            days=days_back(secret, patient),
            signed=instance.pixels.signed,
            palette=instance.pixels.photometric == "PALETTE COLOR",
            log=log,
        )
        copy = taken_over(instance.dataset, take)
        copy.PatientID = mapped_patient(secret, patient)
        _identify(copy, instance, secret)
        _put_pixels(copy, instance, frames)
        codes = _codes(options, searched=read is not None)
        _declare(copy, codes, options, searched=read is not None)
        return Deidentified(_written(copy), _record(log, codes, boxes, searched=read is not None))


def _identify(copy: Dataset, instance: Instance, secret: bytes) -> None:
    """Give the copy what it cannot be without: its class and its own UIDs."""
    if registered_name(UID(str(copy.get("SOPClassUID", "")))) is None:
        copy.SOPClassUID = SecondaryCaptureImageStorage
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not copy.get(keyword):
            setattr(
                copy, keyword, mapped_uid(secret, f"{keyword} of {instance.study or instance.series or instance.uid}")
            )


def _put_pixels(copy: Dataset, instance: Instance, frames: list[StoredFrame]) -> None:
    """Write the stored values as plain samples, each in whole bytes, and the header that fits them."""
    header = replace(instance.pixels, photometric=frames[0].photometric)
    values = np.stack([frame.values for frame in frames])
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    data = little.tobytes()
    copy.PhotometricInterpretation = header.photometric
    copy.SamplesPerPixel = header.samples
    copy.BitsAllocated = little.dtype.itemsize * 8
    if header.samples > 1:
        copy.PlanarConfiguration = 0
    if header.keyword == "PixelData":
        copy.BitsStored = min(header.stored, copy.BitsAllocated)
        copy.HighBit = copy.BitsStored - 1
        copy.PixelRepresentation = int(header.signed)
    copy.add_new(header.keyword, _pixel_vr(header.keyword, copy.BitsAllocated), data + b"\0" * (len(data) % 2))


def _pixel_vr(keyword: str, allocated: int) -> str:
    if keyword == "PixelData":
        return "OB" if allocated <= 8 else "OW"
    return "OF" if keyword == "FloatPixelData" else "OD"


def _codes(options: Options, *, searched: bool) -> tuple[Code, ...]:
    chosen = {
        BASIC: True,
        CLEAN_PIXELS: searched,
        MODIFIED_DATES: options.dates == "shift",
        CHARACTERISTICS: options.characteristics,
    }
    return tuple(code for code, taken in chosen.items() if taken)


def _declare(copy: Dataset, codes: tuple[Code, ...], options: Options, *, searched: bool) -> None:
    """Say in the copy what was done to it (PS3.15 E.1.1, step 8; CID 7050)."""
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = METHOD
    copy.DeidentificationMethodCodeSequence = [_item(code) for code in codes]
    copy.LongitudinalTemporalInformationModified = "MODIFIED" if options.dates == "shift" else "REMOVED"
    if searched:
        copy.BurnedInAnnotation = "NO"


def _item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, "DCM", code.meaning
    return item


def _written(copy: Dataset) -> bytes:
    """Return the file: a preamble of zeros and a file meta group of our own, with nothing of the original's."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = copy.SOPClassUID
    meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    copy.file_meta, copy.preamble = meta, PREAMBLE
    dcmwrite(buffer, copy, enforce_file_format=True)
    return buffer.getvalue()


def _record(log: Log, codes: tuple[Code, ...], boxes: tuple[Box, ...], *, searched: bool) -> Record:
    return Record(codes=codes, changes=log.changes(), pixels_read=searched, blanked=boxes)
