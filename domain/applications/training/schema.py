"""What a training job is asked, and what it answers."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, JsonValue

from domain.applications.application import Finding, Parameters, Result
from domain.marks import Mark

Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
WEEK_MINUTES = 7 * 24 * 60


class TrainingParameters(Parameters):
    """What is to be trained. Sets lie in the folder `datasets` of the installation and are named, never told by a path.

    What is None is the family's to choose.
    """

    family: str = Field(default="yolo", pattern="^[a-z][a-z0-9_]{0,63}$", description="a family that learns")
    dataset: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,99})?$",
        description="the name of a folder in DATA/datasets",
    )
    name: Name = Field(default="model", description="what profiles call the outcome: registered:NAME")
    minutes: float = Field(default=30.0, gt=0, le=WEEK_MINUTES, description="how long to train")
    start: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}(@(sha256:)?[0-9a-f]+)?$",
        description="NAME or NAME@REVISION to begin with: a row of the profile, or what was trained before; null: what "
        "ships of the family",
    )
    architecture: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$", description="begin with random weights of it"
    )
    validation: float = Field(default=0.1, ge=0, le=0.9, description="the share that chooses the weights")
    held_out: float = Field(default=0.1, ge=0, le=0.9, description="the share that the outcome is measured on")
    group_by: str | None = Field(default=None, max_length=200, description="a pattern for the files' names")
    split_seed: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    rate: float | None = Field(default=None, gt=0, description="the highest learning rate")
    batch: int | None = Field(default=None, ge=1)
    side: int | None = Field(default=None, ge=32, le=4096)
    patience: int = Field(default=5, ge=1)
    device: str = Field(default="auto", max_length=16)
    options: dict[str, str] = Field(default_factory=dict, description="the family's own")


class TrainingResult(Result):
    """The revision that came of it, and how good it is."""

    name: str
    revision: str
    metrics: Mapping[str, float]
    """on the validation share"""
    held_out: Mapping[str, float | None] | None
    """on what was kept from it; None where nothing was"""
    split: Mapping[str, JsonValue]
    rounds: int
    seconds: float
    stopped_early: bool


def findings(result: TrainingResult) -> Sequence[Finding]:
    """Return none: a training finds nothing in a picture."""
    return ()


def marks(result: TrainingResult, image: int) -> Sequence[Mark]:
    """Return none: a training has no picture to draw on."""
    return ()


def headline(result: TrainingResult) -> str:
    """Name the revision and its first figure."""
    figures = ", ".join(f"{name} {value:.3f}" for name, value in list(result.metrics.items())[:1])
    return f"{result.name}@{result.revision}: {figures}"


def mismatches(result: TrainingResult, expect: dict[str, JsonValue]) -> Sequence[str]:
    """Return none: there are no samples of a training."""
    return ()
