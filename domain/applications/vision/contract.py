"""The application `vision`: its parameters, its result and its functions."""

from pathlib import Path

from domain.applications.application import Application
from domain.applications.vision.request import VisionParameters
from domain.applications.vision.result import VisionResult, findings, headline, marks, mismatches
from domain.applications.vision.run import run

APPLICATION = Application(
    name="vision",
    version="1",
    summary="Asks any model for what it can do, alone or as a chain of steps, without the rules of a domain.",
    parameters=VisionParameters,
    result=VisionResult,
    run=run,
    findings=findings,
    marks=marks,
    headline=headline,
    mismatches=mismatches,
    samples=Path(__file__).parent / "samples",
    min_images=0,
)
