"""What may be said with the pictures: which part, by which recipe, where to look, and how large a pixel is."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from domain.applications.application import Parameters
from domain.applications.inspection.recipe import DETECTOR_CLASSES, Outline, Recipe, named, shipped
from domain.errors import InvalidParameters
from domain.geometry import Calibration

Tag = Annotated[str, Field(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A short text of one line."""


def _both_ways(told: object) -> object:
    """Accept a single number for both axes."""
    if isinstance(told, int | float | str) and not isinstance(told, bool):
        return {"mm_per_px_x": told, "mm_per_px_y": told}
    return told


class InspectionParameters(Parameters):
    """The parameters of an inspection; a bare picture is inspected by the recipe `default`."""

    part: Tag | None = Field(default=None, description="the part number")
    serial: Tag | None = Field(default=None, description="the serial number of this piece")
    station: Tag | None = Field(default=None, description="the camera or station")
    lot: Tag | None = Field(default=None, description="the lot or batch")
    recipe: Annotated[Recipe, BeforeValidator(named, json_schema_input_type=str | Recipe)] = Field(
        default_factory=lambda: shipped()["default"],
        description="the name of a shipped recipe, or a recipe",
    )
    roi: tuple[Outline, ...] = Field(
        default=(), max_length=64, description="polygons in pixels; only what lies in one of them is inspected"
    )
    ignore: tuple[Outline, ...] = Field(
        default=(), max_length=64, description="polygons in pixels; what lies in one of them is not inspected"
    )
    calibration: Annotated[
        Calibration | None, BeforeValidator(_both_ways, json_schema_input_type=float | Calibration | None)
    ] = Field(default=None, description="millimetres per pixel: a number, or one for each axis")
    model: Tag | None = Field(
        default=None, min_length=1, description="a detector of models.toml; left out, its default"
    )

    reference: int | None = Field(
        default=None,
        ge=0,
        description="which of the job's images (0 is the first) is a golden reference: it is not inspected, the others "
        "are compared with it by a `model` that was trained on pairs",
    )

    def check_images(self, count: int) -> None:
        """Raise InvalidParameters where the reference is none of so many images, or the only one."""
        if self.reference is not None and not self.reference < count > 1:
            problem = f"is image {self.reference} of {count} (0 is the first), and one more is needed to be inspected"
            raise InvalidParameters(
                f"inspection: reference: {problem}", problems=[{"field": "reference", "problem": problem}]
            )

    @model_validator(mode="after")
    def _compared(self) -> Self:
        if self.reference is not None and self.model is None:
            raise ValueError(
                "the default detector compares with no reference; name a `model` that was trained on pairs"
            )
        return self

    @model_validator(mode="after")
    def _detectable(self) -> Self:
        # A named model says at run time what it knows; the default one is known now, so that nothing is queued in vain.
        strange = [name for name in self.recipe.classes if name not in DETECTOR_CLASSES]
        if self.model is None and strange:
            raise ValueError(
                f"recipe {self.recipe.name!r} looks for the class {strange[0]!r}; the default detector knows: "
                f"{', '.join(DETECTOR_CLASSES)}; for another class name the `model` that knows it"
            )
        return self
