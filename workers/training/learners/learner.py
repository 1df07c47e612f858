"""What a family brings so that it can be trained: `learner(parts, options) -> FamilyLearner`, in a file of its name.

A file `learners/FAMILY.py` is all it takes: `sightline train FAMILY` is there once it lies here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.errors import InvalidRequest, ModelUnavailable
from domain.images import ImageLimits
from domain.vision import Capability
from workers.training.learners import families
from workers.training.loop import Learner
from workers.training.sets.labelled_set import LabelledSet
from workers.training.sets.splitting import Parts


@dataclass(frozen=True)
class Options:
    """What a command, or a job, says of how a family is to learn. None leaves it to the family.

    `start` is a checkpoint to begin with (a folder, or YOLO's .pt file), `architecture` what to build from random
    weights instead, in the family's own words. `more` are the family's own options, as they were typed; `checked` reads
    them.
    """

    seed: int = 0
    batch: int | None = None
    """examples per step"""
    side: int | None = None
    """of the square that it sees, in pixels"""
    start: Path | None = None
    architecture: str | None = None
    device: str = "cpu"
    """torch's name: cpu, cuda:0"""
    more: Mapping[str, str] = field(default_factory=dict)
    limits: ImageLimits = field(default_factory=ImageLimits)
    """what a picture may be, as when it is handed in"""


class FamilyLearner(Learner, Protocol):
    """A learner whose outcome a family serves."""

    rate: float
    """the highest rate, where nobody says another"""
    capabilities: tuple[Capability, ...]
    """what the checkpoint can be asked, as a profile's row says it"""
    licence: str
    """under which the weights may be used"""
    served: Mapping[str, Any]
    """the options of the row that serves it; mostly none"""

    def save(self, folder: Path) -> None:
        """Write the network, as it stands, as a checkpoint that the family's `load` serves.

        Half precision in safetensors with what else loading reads (YOLO: one .pt file), and nothing of this machine.
        """


class Family(Protocol):
    """A module of this package."""

    def learner(self, parts: Parts[Any], options: Options) -> FamilyLearner:
        """Return what learns from `parts.train` and is measured on `parts.validation`.

        Raises InvalidRequest where the set is not of a kind that the family learns from, or an option is wrong.
        """


def family(name: str) -> Family:
    """Import a family. Raises InvalidRequest where there is none, ModelUnavailable where a library is missing."""
    if name not in families():
        raise InvalidRequest(f"there is no family {name!r} that learns; there are: {', '.join(families())}")
    try:
        module: Any = import_module(f"{__package__}.{name}")
    except ImportError as error:
        raise ModelUnavailable(
            f"training {name} needs what cannot be imported: {error}; install the extras `worker` and, for YOLO, `yolo`"
        ) from error
    return module  # type: ignore[no-any-return]


class NoOptions(BaseModel):
    """The options of a family that has none of its own."""

    model_config = ConfigDict(extra="forbid")


Schema = TypeVar("Schema", bound=BaseModel)


def checked(options: Options, schema: type[Schema]) -> Schema:
    """Return the family's own options, read by its schema. Raises InvalidRequest that names what is wrong."""
    try:
        return schema.model_validate(dict(options.more))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        known = ", ".join(schema.model_fields) or "none"
        raise InvalidRequest(f"options of the family: {wrong}; there are: {known}") from error


SetKind = TypeVar("SetKind", bound=LabelledSet)


def of(parts: Parts[Any], kind: type[SetKind], wanted: str) -> Parts[SetKind]:
    """Return the parts as those of a set in this form. Raises InvalidRequest, with what is wanted, of another."""
    if not isinstance(parts.train, kind):
        raise InvalidRequest(
            f"{parts.train.place} is a set of {parts.train.kind.value}; this family learns from {wanted}"
        )
    return parts
