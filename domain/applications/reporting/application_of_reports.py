"""The reporting application: its parameters, its result, and what is done with them."""

from pathlib import Path

from domain.applications.application import Application
from domain.applications.reporting.expectations import mismatches
from domain.applications.reporting.intended_use import KIND, IntendedUse, shipped_bodies
from domain.applications.reporting.marks import marks
from domain.applications.reporting.parameters import ReportingParameters
from domain.applications.reporting.result import ReportingResult, findings, headline
from domain.applications.reporting.review import FAILURES, review
from domain.applications.reporting.run import run

APPLICATION = Application(
    name="reporting",
    version="1",
    summary="Drafts reports on medical images, with evidence for every sentence; a draft is unverified until signed.",
    parameters=ReportingParameters,
    result=ReportingResult,
    run=run,
    findings=lambda result: tuple(findings(result)),
    marks=marks,
    headline=headline,
    mismatches=mismatches,
    samples=Path(__file__).parent / "samples",
    review=review,
    failures=FAILURES,
    kinds={KIND: IntendedUse},
    shipped={(KIND, name): body for name, body in shipped_bodies().items()},
    patient_data=True,
)
