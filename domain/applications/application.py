"""What an application is, what it is given, and what its samples promise."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.access import Scope
from domain.errors import InvalidParameters
from domain.geometry import Box, Mask, Value
from domain.marks import Mark
from domain.problems import field_problems
from domain.reviews import ReviewNeed
from domain.statements import Asked
from domain.studies import StudyFacts
from domain.vision import Hashes, Picture, Vision


class Parameters(BaseModel):
    """The base of an application's parameters: every one has a default, and an unknown one is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def check_images(self, count: int) -> None:
        """Raise InvalidParameters where they do not go with so many images."""


class Result(BaseModel):
    """The base of an application's result."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


P = TypeVar("P", bound=Parameters)
R = TypeVar("R", bound=Result)


class Memory(Protocol):
    """The tenant's translation memory."""

    def recall(self, text: str, source: str, target: str) -> str | None:
        """Return the remembered translation of a text between two languages (ISO 639-1), if there is one."""


class Trainer(Protocol):
    """Trains models. Only a process that was started for it has one."""

    def train(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Train what the application's parameters ask for, and return the fields of its result."""


class BankMatch(Value):
    """An entry of a hash bank that a picture comes near."""

    bank: str
    kind: Literal["pdq", "phash", "sha256"]
    value: str
    """the entry's hash, in hexadecimal"""
    distance: int = Field(ge=0)
    """Hamming's, in bits; 0 of a SHA-256"""
    restricted: bool
    """whether the bank is; what it matches is for few eyes"""


class Banks(Protocol):
    """The tenant's hash banks."""

    def matches(self, hashes: Hashes) -> tuple[BankMatch, ...]:
        """Return the entries of enabled banks that a picture comes near, by bank, the nearest first."""


class Configured(Value):
    """A version of a configuration: a policy, a recipe, an intended use."""

    kind: str
    name: str
    version: int = Field(ge=0)
    """counted from 1; 0 is the one that ships with the application"""
    digest: str
    """the SHA-256 of its content"""
    body: dict[str, Any]


class Configurations(Protocol):
    """The tenant's configurations of the application."""

    def find(self, kind: str, name: str, version: int | None = None) -> Configured:
        """Return a version, or the active one where none is named.

        Raises InvalidParameters that lists what there is.
        """


@dataclass(frozen=True)
class Case(Generic[P]):
    """All that an application is given for one job."""

    parameters: P
    pictures: tuple[Picture, ...]
    vision: Vision
    memory: Memory
    trainer: Trainer | None = None
    banks: Banks | None = None
    configurations: Configurations | None = None
    facts: tuple[StudyFacts | None, ...] = ()
    """what the file of each picture says of it; empty, or None, where it is not known"""


class Finding(Value):
    """One thing that was found, kept as a row of its own for statistics."""

    kind: str
    """what it is: a defect class, a text region"""
    score: float = Field(ge=0, le=1)
    image: int = Field(default=0, ge=0)
    """which of the job's images"""
    box: Box
    area_mm2: float | None = None
    length_mm: float | None = None
    text: str | None = None


class NotKept(Exception):
    """What was kept of a past job does not tell what another configuration would have made of it."""


@dataclass(frozen=True)
class RanUnder:
    """The configuration that a result came from; no version of one that came with the job."""

    kind: str
    name: str
    version: int | None
    digest: str


@dataclass(frozen=True)
class Retrospect(Generic[P, R]):
    """How a past result is judged anew under another version of the configuration that it came from."""

    ran_under: Callable[[R], RanUnder]
    judge: Callable[[R, P, Any, Any], R]
    """a result, its job's parameters, what it ran under and what it is to be judged by; may raise NotKept"""


class Thing(Value):
    """Something that is in a picture, and where."""

    label: str
    box: Box
    mask: Mask | None = None


class Lesson(Value):
    """What a result that a person has confirmed teaches of one of the job's pictures."""

    image: int = Field(ge=0)
    things: tuple[Thing, ...] = ()
    """all that is to be found in it"""
    label: str | None = None
    """what it is as a whole"""


@dataclass(frozen=True)
class Application(Generic[P, R]):
    """An application: its contract and its functions."""

    name: str
    version: str
    """of the contract; kept with every result"""
    summary: str
    parameters: type[P]
    result: type[R]
    run: Callable[[Case[P]], R]
    findings: Callable[[R], Sequence[Finding]]
    marks: Callable[[R, int], Sequence[Mark]]
    """what to draw over the image of that index"""
    headline: Callable[[R], str]
    """a few words for a table: the verdict"""
    mismatches: Callable[[R, dict[str, Any]], Sequence[str]]
    """where a result differs from a sample's expectation, one sentence each"""
    samples: Path
    review: Callable[[R], ReviewNeed | None] = lambda result: None
    """what is asked of people about a result; None where nobody need look"""
    lessons: Callable[[R], Sequence[Lesson]] | None = None
    """what a model learns from a result that a person has confirmed"""
    statement: Callable[[R, Asked, bool], BaseModel] | None = None
    """the statement of reasons for a result, by what is asked and whether a person decided; None where it restricts
    nothing; may raise InvalidRequest"""
    failures: str | None = None
    """the queue in which people are asked about a job that ended without an answer; None where nobody is"""
    kinds: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    """the configurations that it runs under, by kind, as `policy`, and what each must be"""
    shipped: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """those that ship with it, by kind and name"""
    retrospect: Retrospect[P, R] | None = None
    """how a draft of a configuration is tried on past jobs, without asking a model"""
    succeeds: Mapping[str, Callable[[Any, Any], None]] = field(default_factory=dict)
    """by kind, what raises ValueError where a version cannot follow the one before it"""
    min_images: int = 1
    max_images: int = 16
    patient_data: bool = False
    """handles patient data, and so refuses the Celery intake"""
    scope: Scope = Scope.SUBMIT
    """what a key needs to hand in its jobs; one that needs more than `submit` refuses the Celery intake too"""
    apart: bool = False
    """its jobs run in processes that were started for it alone, one at a time, for as long as they take"""

    def parse(self, parameters: dict[str, Any]) -> P:
        """Validate parameters.

        Raises InvalidParameters that names each field and what is wrong with it.
        """
        try:
            return self.parameters.model_validate(parameters)
        except ValidationError as error:
            problems = field_problems(error, self.parameters)
            told = "; ".join(f"{problem['field'] or 'parameters'}: {problem['problem']}" for problem in problems)
            raise InvalidParameters(f"{self.name}: {told}", problems=problems) from error


@dataclass(frozen=True)
class Sample:
    """A picture that ships with an application, and how its job must end."""

    name: str
    images: tuple[Path, ...]
    parameters: dict[str, Any]
    expect: dict[str, Any]


def samples(application: Application[Any, Any]) -> tuple[Sample, ...]:
    """Read an application's samples: each `NAME.json` holds `images`, `parameters` and `expect`."""
    found = []
    for path in sorted(application.samples.glob("*.json")):
        told = json.loads(path.read_text("utf-8"))
        images = tuple(path.parent / name for name in told["images"])
        found.append(Sample(path.stem, images, told.get("parameters", {}), told["expect"]))
    return tuple(found)
