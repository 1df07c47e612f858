"""Intended uses: which pictures a draft may be made of, what the model is told, and how sure the evidence must be.

An intended use is data. It ships as `intended_uses/NAME.toml` or is kept by a tenant in versions. It cannot come with
a job: whoever sends pictures does not decide what they are fit for. Nothing here touches review, signing or the banner.
"""

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from domain.applications.reporting.vocabulary import KnownFinding, vocabulary
from domain.geometry import Value
from domain.reviews import Name

FOLDER = Path(__file__).parent / "intended_uses"
KIND = "intended-use"

Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9 _]{0,15}$")]
"""A code string of the DICOM standard: `DX`, `CHEST`, `PA`."""
Share = Annotated[float, Field(gt=0.5, le=1)]


class Thresholds(Value):
    """From which score on evidence counts. What is as likely as not never does."""

    box: float = Field(gt=0, le=1)
    """of the place of a finding"""
    absent: Share
    """of the answer no, where a finding is said not to be there"""
    present: Share
    """of the answer yes, where the draft is silent on a finding: a reader is told of it"""
    side: Share
    """of the answer to the question for a side"""


class IntendedUse(Value):
    """What drafts are made for. Outside of it, there is none."""

    name: Name
    title: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    modalities: tuple[Code, ...] = Field(min_length=1, max_length=20)
    body_parts: tuple[Code, ...] = Field(min_length=1, max_length=20)
    views: tuple[Code, ...] = Field(min_length=1, max_length=20)
    min_age_years: float = Field(ge=0, le=150)
    max_age_years: float = Field(ge=0, le=150)
    max_pictures: int = Field(default=1, ge=1, le=16)
    contrast: bool | None = None
    """whether a contrast agent must or must not have been given; None where it does not matter"""
    instruction: str = Field(min_length=1, max_length=4000)
    """what the model is told, of each picture"""
    findings: tuple[str, ...] = Field(min_length=1)
    """what is drafted; anything else that a draft tells is removed"""
    measured: tuple[str, ...] = ()
    """whose boxes the model draws closely enough to be measured"""
    thresholds: Thresholds

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min_age_years > self.max_age_years:
            raise ValueError(f"min_age_years {self.min_age_years:g} is more than max_age_years {self.max_age_years:g}")
        known = [finding.name for finding in vocabulary().findings]
        strange = [name for name in (*self.findings, *self.measured) if name not in known]
        if strange:
            raise ValueError(f"the finding {strange[0]!r} is not known; there are: {', '.join(known)}")
        if len(set(self.findings)) < len(self.findings):
            raise ValueError("a finding is named twice")
        blank = [name for name in self.measured if vocabulary().by_name[name].measure is None]
        if blank:
            raise ValueError(f"nothing can be measured of {blank[0]!r}")
        return self

    @property
    def digest(self) -> str:
        """The SHA-256 of its content, in hexadecimal."""
        return sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    @property
    def known(self) -> tuple[KnownFinding, ...]:
        """Its findings, as they are looked for."""
        return tuple(vocabulary().by_name[name] for name in self.findings)


@cache
def shipped_bodies() -> Mapping[str, Mapping[str, object]]:
    """Return the intended uses that ship with the application as they are written, by name."""
    return MappingProxyType(
        {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.toml"))}
    )


@cache
def shipped() -> Mapping[str, IntendedUse]:
    """Return the intended uses that ship with the application, by name."""
    return MappingProxyType({name: IntendedUse.model_validate(body) for name, body in shipped_bodies().items()})
