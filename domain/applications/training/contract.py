"""The application `training`: its parameters, its result and its functions."""

from pathlib import Path

from domain.access import Scope
from domain.applications.application import Application
from domain.applications.training.run import run
from domain.applications.training.schema import (
    TrainingParameters,
    TrainingResult,
    findings,
    headline,
    marks,
    mismatches,
)

APPLICATION = Application(
    name="training",
    version="1",
    summary="Trains a model on a labelled set of this installation and registers what comes of it.",
    parameters=TrainingParameters,
    result=TrainingResult,
    run=run,
    findings=findings,
    marks=marks,
    headline=headline,
    mismatches=mismatches,
    samples=Path(__file__).parent / "samples",
    min_images=0,
    max_images=0,
    scope=Scope.ADMIN,
    apart=True,
)
