"""What is known of a picture of an examination besides its pixels. Files are not read here.

Empty texts and None mean that the file does not say; whoever needs to know must not take that for an answer.
"""

from enum import StrEnum

from pydantic import Field

from domain.geometry import Value


class SpacingSource(StrEnum):
    """Where the size of a pixel was measured: a length in the patient may be taken from the first two alone."""

    PATIENT = "patient"
    """of a slice, or of a projection that says that it was calibrated"""
    MAGNIFIED = "magnified"
    """at the detector, divided by the estimated magnification"""
    DETECTOR = "detector"
    """at the detector: things in the patient are smaller than they measure"""


class PixelSpacing(Value):
    """Millimetres from one row of the picture to the next, and from one column to the next."""

    row_mm: float = Field(gt=0, le=1e3)
    column_mm: float = Field(gt=0, le=1e3)
    source: SpacingSource


class StudyFacts(Value):
    """What a de-identified file says of one of its frames, in the words of the DICOM standard."""

    file: int = Field(default=0, ge=0)
    """which of the job's files, from 0"""
    frame: int = Field(default=0, ge=0)
    """which of its frames, from 0"""
    modality: str = ""
    """`DX`, `CR`, `CT`, … (0008,0060)"""
    body_part: str = ""
    """`CHEST`, … (0018,0015)"""
    laterality: str = ""
    """`L`, `R`, `B` (both) or `U` (unpaired)"""
    view: str = ""
    """`PA`, `AP`, `LL`, … (0018,5101)"""
    orientation: tuple[str, ...] = ()
    """where the rows and the columns lead to, as ("L", "F"): from the patient's right to left, and to the feet"""
    contrast: bool | None = None
    """whether a contrast agent was given"""
    spacing: PixelSpacing | None = None
    """of the picture as it is handed to the application, where that was made larger or smaller"""
    age_years: float | None = Field(default=None, ge=0, le=150)
    sex: str | None = None
    """`M`, `F` or `O`"""
