"""The application `signs`: its parameters, its result and its functions."""

from pathlib import Path

from domain.applications.application import Application
from domain.applications.signs.present import findings, headline, marks, mismatches
from domain.applications.signs.run import run
from domain.applications.signs.schema import SignsParameters, SignsResult

APPLICATION = Application(
    name="signs",
    version="1",
    summary="Reads photographs of signs and translates them, with all that an overlay needs.",
    parameters=SignsParameters,
    result=SignsResult,
    run=run,
    findings=findings,
    marks=marks,
    headline=headline,
    mismatches=mismatches,
    samples=Path(__file__).parent / "samples",
)
