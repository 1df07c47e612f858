"""A small application of patient data, and files in which everything that could name a patient carries a marker."""

import io
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.uid import ExplicitVRLittleEndian

from domain.applications import catalogue
from domain.applications.application import Application, Case, Parameters, Result
from domain.studies import StudyFacts
from tests.workers.imaging.dicom.files import grey, written

NAME = "looking"
MARKER = "ZQXMARK"
"""What stands in every identifying place of the files."""


class Looked(Result):
    """The sizes of the pictures, what their files say of them, and what could still be read in them."""

    sizes: list[tuple[int, int]]
    facts: list[StudyFacts | None]
    texts: list[str]


def look(case: Case[Parameters]) -> Looked:
    texts = [line.text for picture in case.pictures for line in case.vision.read(picture)]
    sizes = [(picture.width, picture.height) for picture in case.pictures]
    return Looked(sizes=sizes, facts=list(case.facts), texts=texts)


LOOKING: Application[Parameters, Looked] = Application(
    name=NAME,
    version="1",
    summary="Looks at pictures of patients.",
    parameters=Parameters,
    result=Looked,
    run=look,
    findings=lambda result: (),
    marks=lambda result, image: (),
    headline=lambda result: f"{len(result.sizes)} pictures",
    mismatches=lambda result, expected: (),
    samples=Path(__file__).parent,
    max_images=4,
    patient_data=True,
)


def open_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the application into the catalogue of this process."""
    there = MappingProxyType({**catalogue.applications(), NAME: LOOKING})
    monkeypatch.setattr(catalogue, "applications", lambda: there)


def dicom(text: str = "") -> bytes:
    """A chest film of 160 x 400 pixels with markers in its header, and a text burned into its pixels."""
    film = Image.new("L", (400, 160), 40)
    if text:
        ImageDraw.Draw(film).text((40, 50), text, fill=250, font=ImageFont.load_default(size=44))
    told = {
        "PatientName": f"{MARKER}^NAME",
        "PatientID": f"{MARKER}-ID",
        "PatientBirthDate": "19710403",
        "InstitutionName": f"{MARKER} HOSPITAL",
        "ContrastBolusAgent": f"{MARKER} AGENT",
        "StudyDescription": f"{MARKER} STUDY",
        "AccessionNumber": f"{MARKER}-A",
    }
    dataset = grey(np.asarray(film), Modality="DX", BodyPartExamined="CHEST", ViewPosition="PA")
    for keyword, value in told.items():
        setattr(dataset, keyword, value)
    return written(dataset, ExplicitVRLittleEndian)


def photograph() -> bytes:
    """A JPEG whose EXIF and comment carry the marker."""
    exif = Image.Exif()
    exif[0x010E] = f"{MARKER} DESCRIPTION"
    out = io.BytesIO()
    Image.new("RGB", (120, 80), (30, 60, 90)).save(out, "JPEG", exif=exif, comment=f"{MARKER} COMMENT".encode())
    return out.getvalue()
