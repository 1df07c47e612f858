"""What a file says of its picture besides the pixels: how large a pixel is, which side and view, which way it lies."""

from dataclasses import dataclass
from enum import StrEnum

from pydicom import Dataset

from workers.imaging.dicom.groups import places
from workers.imaging.dicom.guarding import guarded
from workers.imaging.dicom.reading import Instance, numbers, text

CALIBRATED = {"GEOMETRY", "FIDUCIAL"}
"""Pixel Spacing Calibration Type (0028,0A02)."""


PROJECTIONS = {"CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"}
"""Modalities whose rays fan out: what lies far from the detector is shown enlarged."""


class SpacingSource(StrEnum):
    """Where a spacing was measured: a length in the patient may be taken from the first two alone."""

    PATIENT = "patient"
    """Pixel Spacing: of a slice, or of a projection that says it was calibrated."""
    MAGNIFIED = "magnified"
    """Imager Pixel Spacing divided by the estimated magnification."""
    DETECTOR = "detector"
    """At the detector, or as scanned from film: things in the patient are smaller than they measure."""


@dataclass(frozen=True)
class Spacing:
    """Millimetres from one row to the next, and from one column to the next."""

    row_mm: float
    column_mm: float
    source: SpacingSource


@dataclass(frozen=True)
class Facts:
    """What the file says; empty where it says nothing. Terms are the standard's.

    `patient_orientation` is the direction of the rows and of the columns, such as ("L", "F").
    """

    modality: str
    body_part: str
    laterality: str
    view_position: str
    patient_orientation: tuple[str, ...]
    spacing: Spacing | None


def facts(instance: Instance, index: int = 0) -> Facts:
    """Return the facts about a frame (from 0). Raises DicomUnreadable for a header that cannot be read."""
    dataset = instance.dataset
    with guarded(f"{instance.name} has a damaged header; export it again", image=instance.name):
        anatomy = list(places(dataset, index, "FrameAnatomySequence"))
        return Facts(
            modality=text(dataset, "Modality"),
            body_part=text(dataset, "BodyPartExamined"),
            laterality=_said(anatomy, "FrameLaterality") or _said([dataset], "ImageLaterality", "Laterality"),
            view_position=text(dataset, "ViewPosition"),
            patient_orientation=_orientation(dataset),
            spacing=_spacing(dataset, index),
        )


def _said(where: list[Dataset], *keywords: str) -> str:
    found = (text(place, keyword) for place in where for keyword in keywords)
    return next((said for said in found if said), "")


def _orientation(dataset: Dataset) -> tuple[str, ...]:
    value = dataset.get("PatientOrientation")
    return tuple(str(part) for part in value) if value and not isinstance(value, str) else ()


def _spacing(dataset: Dataset, index: int) -> Spacing | None:
    """Return the spacing by PS3.3 10.7.1.3: Pixel Spacing, else Imager Pixel Spacing by the magnification.

    A Pixel Spacing of a projection, or one that equals the Imager Pixel Spacing, is taken for that of the detector
    unless the file says how it was calibrated.
    """
    imager = _pair(dataset, "ImagerPixelSpacing")
    calibrated = text(dataset, "PixelSpacingCalibrationType") in CALIBRATED
    for place in places(dataset, index, "PixelMeasuresSequence"):
        found = _pair(place, "PixelSpacing")
        if found is not None and (calibrated or not _at_detector(dataset, found, imager)):
            return Spacing(*found, SpacingSource.PATIENT)
    imager = imager or _pair(dataset, "NominalScannedPixelSpacing") or _pair(dataset, "PixelSpacing")
    magnification = _magnification(dataset)
    if imager is None:
        return None
    if magnification is None:
        return Spacing(*imager, SpacingSource.DETECTOR)
    return Spacing(imager[0] / magnification, imager[1] / magnification, SpacingSource.MAGNIFIED)


def _at_detector(dataset: Dataset, found: tuple[float, float], imager: tuple[float, float] | None) -> bool:
    """Return whether a spacing without calibration is that of the detector."""
    return found == imager if imager else text(dataset, "Modality") in PROJECTIONS


def _magnification(dataset: Dataset) -> float | None:
    """Return the file's estimate, or the ratio of the distances from the source to detector and patient."""
    said = numbers(dataset, "EstimatedRadiographicMagnificationFactor", 1)
    if said and said[0] >= 1:
        return said[0]
    detector, patient = (numbers(dataset, f"DistanceSourceTo{what}", 1) for what in ("Detector", "Patient"))
    return detector[0] / patient[0] if detector and patient and detector[0] >= patient[0] > 0 else None


def _pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    found = numbers(dataset, keyword, 2)
    return (found[0], found[1]) if found and min(found) > 0 else None
