"""What a de-identified DICOM file says of one of its frames, as applications are told it."""

from contextlib import suppress

from pydicom import Dataset

from domain.studies import PixelSpacing, SpacingSource, StudyFacts
from workers.imaging.dicom.facts import Spacing, facts
from workers.imaging.dicom.guarding import guarded
from workers.imaging.dicom.reading import Instance, text

AGENT = ("ContrastBolusAgent", "ContrastBolusAgentSequence")
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
"""The units of an age (VR AS)."""
SEXES = {"M", "F", "O"}
LONGEST_MM = 1e3
"""What a pixel can measure at most; a file that says more is taken to say nothing."""


def study_facts(copy: Instance, original: Instance, file: int, index: int) -> StudyFacts:
    """Return the facts of a frame (from 0) of the copy of a file (from 0).

    All is read from the copy but whether there was a contrast agent: its name, which is free text, is in no copy.
    Raises DicomUnreadable for a header that cannot be read.
    """
    told = facts(copy, index)
    with guarded(f"{copy.name} has a damaged header; export it again", image=copy.name):
        return StudyFacts(
            file=file,
            frame=index,
            modality=told.modality,
            body_part=told.body_part,
            laterality=told.laterality,
            view=told.view_position,
            orientation=told.patient_orientation,
            contrast=True if any(original.dataset.get(keyword) for keyword in AGENT) else None,
            spacing=_spacing(told.spacing),
            age_years=_age(copy.dataset),
            sex=text(copy.dataset, "PatientSex") if text(copy.dataset, "PatientSex") in SEXES else None,
        )


def _spacing(told: Spacing | None) -> PixelSpacing | None:
    if told is None or max(told.row_mm, told.column_mm) > LONGEST_MM:
        return None
    return PixelSpacing(row_mm=told.row_mm, column_mm=told.column_mm, source=SpacingSource(told.source.value))


def _age(dataset: Dataset) -> float | None:
    """Return the age in years of an Age String (PS3.5 6.2), such as "045Y"."""
    said = text(dataset, "PatientAge")
    with suppress(ValueError, KeyError):
        age = int(said[:-1]) * YEARS[said[-1:]]
        return age if 0 <= age <= 150 else None
    return None
