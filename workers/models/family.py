"""What a model family is: `load(spec)` returns a `Model`; the batcher and residency do the rest.

A family file defines one function `load(spec: ModelSpec) -> Model` and imports its heavy library at its top; the file
itself is imported only when a model of that family is loaded. A model never sees a job, a lock or a queue.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from domain.errors import ModelUnavailable
from domain.vision import Capability
from workers.registry import ModelSpec

Pixels = npt.NDArray[np.uint8]
"""A picture as H × W × 3, RGB."""


@dataclass(frozen=True)
class Ask:
    """One call: the capability, its pictures, and its other arguments by name."""

    capability: Capability
    pictures: tuple[Pixels, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A call that is ready for the device.

    Only calls with the same `group` share a batch. `pixels` and `tokens` are what the call weighs against the batch's
    limits: what the network sees, and what it reads and may write. `stopped` is set when nobody wants the answer any
    more: a model that takes many steps looks at it between two.
    """

    payload: Any
    group: Hashable
    pixels: int
    prompt: str | None = None
    tokens: int = 0
    stopped: threading.Event = field(default_factory=threading.Event, compare=False)


class ScoreKind(StrEnum):
    """What a model's score is."""

    SOFTMAX = "softmax"
    """the share of one of several, which add up to 1"""
    SIGMOID = "sigmoid"
    """of each thing by itself"""
    SEQUENCE = "sequence"
    """the probability of a generated text given the picture: the product over its pieces"""
    MEAN = "mean"
    """the geometric mean of the probabilities of a generated text's pieces: the length does not count"""
    OVERLAP = "overlap"
    """the model's own estimate of how well its mask fits (IoU)"""
    NONE = "none"
    """it gives none, or a constant"""


@dataclass(frozen=True)
class Told:
    """An answer with what its caller should know besides: boxes that were dropped, a text that was cut.

    A model may give it in place of the bare value; the remarks are kept with the answer. `scores` says what this
    answer's scores are, where they are not what the model's are else.
    """

    value: Any
    remarks: Mapping[str, int | float | str]
    scores: ScoreKind | None = None


class DeviceLost(Exception):
    """The device answers nothing any more until its process ends: no call is to blame, none can be tried again."""


class Model(Protocol):
    """A loaded model."""

    preprocessing: str
    """Name and version of the preprocessing, kept with every answer."""
    dtype: str
    """What it computes in, kept with every answer."""
    device: str
    """Where it computes (`cpu`, `cuda:0`), kept with every answer."""
    scores: ScoreKind
    """What its scores are, kept with every answer."""
    classes: tuple[str, ...]
    """The class names it knows of itself; empty for open-vocabulary models."""

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess one call. Runs in the job's thread, beside others; raises ModelError on input it cannot take."""

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        """Answer a batch of one group, in order, with domain values. Runs on the device's one thread.

        An exception means the whole batch failed: the batcher bisects it. Must raise `DeviceOutOfMemory` when memory
        ran out.
        """

    def close(self) -> None:
        """Release its memory."""


@runtime_checkable
class Elsewhere(Protocol):
    """A model that another machine computes: its calls need no batch here, and must not keep the device's thread."""

    def submit(self, prepared: Prepared) -> Future[Any]:
        """Send one call, and return what will hold its answer. For any thread; bounded in time by the model itself."""


def loader(spec: ModelSpec) -> Callable[[ModelSpec], Model]:
    """Import a model's family, with the libraries that it needs, and return what loads the model.

    Raises ModelUnavailable with what is missing and how to get it.
    """
    try:
        module = import_module(spec.family if "." in spec.family else f"workers.models.{spec.family}")
    except ImportError as error:
        raise ModelUnavailable(
            f"model {spec.name!r} needs the family {spec.family!r}, which cannot be imported: {error}; "
            f"install the extras `worker` and, for YOLO, `yolo`, for pictures from texts `imagine`"
        ) from error
    return cast("Callable[[ModelSpec], Model]", module.load)


def load(spec: ModelSpec) -> Model:
    """Import the family's file and load the model. Raises ModelUnavailable with what is missing."""
    return loader(spec)(spec)
