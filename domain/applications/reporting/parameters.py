"""The order: what was asked to be examined, as the sender tells it beside the pictures."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from domain.applications.application import Parameters
from domain.reviews import Name

MOST_PRIOR = 20_000


def _code(told: object) -> object:
    return told.strip().upper() if isinstance(told, str) else told


Code = Annotated[str, StringConstraints(pattern=r"^([A-Z][A-Z0-9 _]{0,15})?$"), BeforeValidator(_code)]
"""A code string of the DICOM standard, in letters of either case; empty where it is not told."""


class ReportingParameters(Parameters):
    """The parameters of a draft. What the files themselves say need not be told; what neither says is unknown."""

    intended_use: Name = Field(default="chest-radiograph", description="the name of an intended use")
    intended_use_version: int | None = Field(
        default=None, ge=0, description="a version of a kept intended use; left out, the active one"
    )
    modality: Code = Field(default="", description="as ordered, a DICOM code: `DX`, `CR`, `CT`, …")
    body_part: Code = Field(default="", description="as ordered, a DICOM code: `CHEST`, …")
    laterality: Literal["none", "left", "right", "both"] | None = Field(
        default=None, description="as ordered; `none` of what has no side, left out where the order does not say"
    )
    contrast: bool | None = Field(default=None, description="whether a contrast agent was ordered")
    view: Code = Field(default="", description="as ordered, a DICOM code: `PA`, `AP`, `LL`, …")
    age_years: float | None = Field(default=None, ge=0, le=150, description="the patient's age in years")
    indication: str = Field(
        default="", max_length=4000, pattern=r"^[^\x00]*$", description="why it was ordered, without names"
    )
    prior: str = Field(
        default="", max_length=MOST_PRIOR, pattern=r"^[^\x00]*$", description="the text of the prior report"
    )
    language: Literal["en"] = Field(default="en", description="of the prior report and of the draft")
