"""The inspection application: its parameters, its result, and what is done with them."""

from pathlib import Path

from domain.applications.application import Application
from domain.applications.inspection.expectations import mismatches
from domain.applications.inspection.marks import marks
from domain.applications.inspection.parameters import InspectionParameters
from domain.applications.inspection.result import InspectionResult, findings, headline
from domain.applications.inspection.review import lessons, review
from domain.applications.inspection.run import run

APPLICATION = Application(
    name="inspection",
    version="1",
    summary="Finds defects on manufactured surfaces, measures them, and decides by a recipe what becomes of the part.",
    parameters=InspectionParameters,
    result=InspectionResult,
    run=run,
    findings=lambda result: tuple(findings(result)),
    marks=marks,
    headline=headline,
    mismatches=mismatches,
    review=review,
    lessons=lambda result: tuple(lessons(result)),
    samples=Path(__file__).parent / "samples",
)
