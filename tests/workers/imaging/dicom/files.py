"""DICOM files as tests need them: drawn here, or those that come with pydicom."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from domain.images import ImageLimits
from workers.imaging.dicom.reading import Instance, read

LIMITS = ImageLimits(max_bytes=64 << 20, max_pixels=1 << 24, max_frames=64)
BUNDLED = Path(str(pydicom.__file__)).parent / "data" / "test_files"
"""Only what lies in the package: asking pydicom for more of them would download it."""
SECRET = b"a secret of a tenant, for tests"


def bundled(name: str) -> bytes:
    return (BUNDLED / name).read_bytes()


def grey(values: np.ndarray, stored: int | None = None, **attributes: object) -> Dataset:
    """A monochrome CT of these values, H × W or frames × H × W; further attributes by keyword."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3.4.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.0"
    dataset.PatientID, dataset.Modality = "4711", "CT"
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = values.dtype.itemsize * 8
    dataset.BitsStored = stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.add_new(
        "PixelData", "OW" if values.dtype.itemsize > 1 else "OB", values.tobytes() + b"\0" * (values.nbytes % 2)
    )
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def item(**attributes: object) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def written(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The file of a dataset."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def taken(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Instance:
    """What is read of the file of a dataset."""
    return read(written(dataset, syntax), LIMITS)
