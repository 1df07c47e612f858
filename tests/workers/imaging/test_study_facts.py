"""What applications are told of a frame: of a real copy of a drawn file."""

import numpy as np
import pytest

from domain.studies import PixelSpacing, SpacingSource, StudyFacts
from tests.workers.imaging.dicom.files import LIMITS, SECRET, grey, taken
from workers.imaging.dicom.deidentify import deidentify
from workers.imaging.dicom.profile import Options
from workers.imaging.dicom.reading import read
from workers.imaging.study_facts import study_facts

VALUES = np.arange(256, dtype=np.uint16).reshape(16, 16)


def told(characteristics: bool = True, **attributes: object) -> StudyFacts:
    original = taken(grey(VALUES, **attributes))
    options = Options(characteristics=characteristics)
    copy = read(deidentify(original, SECRET, options).data, LIMITS)
    return study_facts(copy, original, 1, 0)


def test_the_facts_of_a_copy_are_told_in_the_words_of_the_standard() -> None:
    # given a slice that says all there is to say
    # when its copy is asked
    facts = told(
        Modality="CT",
        BodyPartExamined="CHEST",
        PixelSpacing=[0.7, 0.8],
        PatientOrientation=["L", "P"],
        ContrastBolusAgent="a name that is free text",
        PatientAge="045Y",
        PatientSex="F",
    )
    # then each has its place, and the agent no name
    assert facts == StudyFacts(
        file=1,
        modality="CT",
        body_part="CHEST",
        orientation=("L", "P"),
        contrast=True,
        spacing=PixelSpacing(row_mm=0.7, column_mm=0.8, source=SpacingSource.PATIENT),
        age_years=45.0,
        sex="F",
    )


def test_what_the_site_does_not_let_through_is_not_told() -> None:
    # given a site that keeps age and sex to itself
    # when a copy is asked for them
    facts = told(characteristics=False, PatientAge="045Y", PatientSex="F")
    # then nobody knows
    assert (facts.age_years, facts.sex, facts.contrast, facts.spacing) == (None, None, None, None)


@pytest.mark.parametrize(("age", "years"), [("006M", 0.5), ("007D", 7 / 365.25), ("002W", 14 / 365.25)])
def test_the_age_of_small_children_is_told_in_years(age: str, years: float) -> None:
    # given an age in a smaller unit
    # when it is told
    # then it is in years
    assert told(PatientAge=age).age_years == pytest.approx(years)


def test_a_pixel_larger_than_a_metre_is_taken_to_say_nothing() -> None:
    # given a spacing that cannot be
    # when it is told
    # then there is none
    assert told(PixelSpacing=[5e3, 1.0]).spacing is None
