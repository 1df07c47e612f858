"""What a de-identified copy may hold (profile.toml), attribute by attribute; and what was done, in a record."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import Field

from domain.geometry import Box, Value


class Rule(StrEnum):
    """How an attribute is taken over."""

    NUMBERS = "numbers"
    TABLES = "tables"
    UIDS = "uids"
    DATES = "dates"
    TIMES = "times"
    SEQUENCES = "sequences"
    TERMS = "terms"
    AGES = "ages"


@dataclass(frozen=True)
class Attribute:
    """An attribute that may stay: by which rule, and with which terms where the rule is that."""

    rule: Rule
    terms: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Profile:
    """The attributes that may stay, by keyword; and those that every copy has, if only empty."""

    attributes: Mapping[str, Attribute]
    required: tuple[str, ...]


class Options(Value):
    """What a site chooses beyond the Basic Profile."""

    dates: Literal["shift", "remove"] = "shift"
    """Moved back by the same number of days for all files of a patient, or emptied."""
    times: bool = False
    """Keep the time of day where dates are shifted."""
    characteristics: bool = False
    """Keep the patient's age (above 89 years: 90), sex, size and weight."""


class Code(Value):
    """A code of DICOM's own scheme (DCM)."""

    value: str
    meaning: str


BASIC = Code(value="113100", meaning="Basic Application Confidentiality Profile")
CLEAN_PIXELS = Code(value="113101", meaning="Clean Pixel Data Option")
MODIFIED_DATES = Code(value="113107", meaning="Retain Longitudinal Temporal Information Modified Dates Option")
CHARACTERISTICS = Code(value="113108", meaning="Retain Patient Characteristics Option")


class Done(StrEnum):
    """What was done to an attribute."""

    REMOVED = "removed"
    EMPTIED = "emptied"
    REPLACED = "replaced"
    """By a pseudonym, or by the closest term that may stay."""
    MAPPED = "mapped"
    """A UID, by the UID that stands for it."""
    SHIFTED = "shifted"


class Change(Value):
    """What was done to an attribute, at which place (tags from the outside in), how often. Never its value."""

    path: str
    keyword: str
    done: Done
    count: int = Field(gt=0)


class Record(Value):
    """What de-identification did to a file."""

    codes: tuple[Code, ...]
    changes: tuple[Change, ...]
    pixels_read: bool
    """Whether text burned into the pixels was looked for."""
    blanked: tuple[Box, ...]
    """Where it was found; the same in every frame."""


@cache
def profile(characteristics: bool) -> Profile:
    """Return the profile of the package, with the patient's characteristics or without."""
    table: dict[str, Any] = tomllib.loads(files(__package__).joinpath("profile.toml").read_text("utf-8"))
    attributes = _attributes(table)
    if characteristics:
        attributes |= _attributes(table["characteristics"])
    return Profile(attributes, tuple(table["required"]))


def _attributes(table: Mapping[str, Any]) -> dict[str, Attribute]:
    plain = {keyword: Attribute(rule) for rule in Rule if rule is not Rule.TERMS for keyword in table.get(rule, ())}
    return plain | {key: Attribute(Rule.TERMS, frozenset(terms)) for key, terms in table["terms"].items()}
