"""Fitting a temperature to a model's scores from labelled pictures (Guo et al. 2017: calibration of modern networks).

Logits divided by a temperature keep their order: what is likeliest stays so, and only how sure it is changes.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import InvalidRequest
from domain.images import ImageLimits
from domain.vision import Answer, Capability, Label
from workers.imaging.decode import decode
from workers.models.family import Ask, Model, ScoreKind, Told

COLDEST, HOTTEST = 0.05, 20.0
STEPS = 60
BINS = 15
"""Of the calibration error, as in the paper."""
LEAST = 1e-7
"""Scores nearer to 0 or 1 count as this far from them, so that one sure mistake does not decide all."""
FEWEST = 10
"""Fewer labelled pictures than this say nothing."""

Scores = npt.NDArray[np.float64]
"""Pictures × labels, in [0, 1]."""


class Labelled(BaseModel):
    """A line of the labelled set: a picture, beside the file or by its whole path, and what is on it."""

    model_config = ConfigDict(extra="forbid")

    image: Path
    label: str = Field(min_length=1)


@dataclass(frozen=True)
class Fitted:
    """A temperature, and what it changes on the pictures that it was fitted to."""

    temperature: float
    pictures: int
    accuracy: float
    nll: tuple[float, float]
    """mean negative log-likelihood of the right label, before and with it"""
    error: tuple[float, float]
    """expected calibration error over 15 bins, before and with it"""


def calibrate(model: Model, file: Path, limits: ImageLimits, advance: Callable[[], None] = lambda: None) -> Fitted:
    """Let a model judge labelled pictures, and fit the temperature under which its scores are likeliest.

    `file` has a line of JSON for each picture: `{"image": "a.jpg", "label": "a cat"}`; the labels of all lines are what
    each picture is compared with. The model must run with the temperature 1. Raises InvalidRequest on a malformed line,
    fewer than ten pictures or a single label.
    """
    lines = list(_read(file))
    labels = tuple(sorted({line.label for line in lines}))
    if len(lines) < FEWEST or len(labels) < 2:
        raise InvalidRequest(f"{file}: {len(lines)} pictures of {len(labels)} labels; {FEWEST} of 2 are the fewest")
    rows = []
    for line in lines:
        pixels = decode(line.image.read_bytes(), limits, line.image.name).pixels
        ask = Ask(Capability.CLASSIFY, (pixels,), {"labels": labels})
        rows.append(_by_label(model.run([model.prepare(ask)])[0], labels))
        advance()
    truth = np.array([labels.index(line.label) for line in lines])
    return fit(np.array(rows), truth, alone=model.scores is ScoreKind.SIGMOID)


def fit(scores: Scores, truth: npt.NDArray[np.int64], *, alone: bool) -> Fitted:
    """Fit a temperature to scores (pictures × labels) and the index of each picture's right label.

    `alone` says that each label was judged by itself (sigmoid) and not against the others (softmax).
    """
    kept = np.clip(scores, LEAST, 1 - LEAST)
    logits = np.log(kept / (1 - kept)) if alone else np.log(kept)

    def told(temperature: float) -> Scores:
        warm = logits / temperature
        if alone:
            return np.asarray(1 / (1 + np.exp(-warm)))
        shares = np.exp(warm - warm.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def loss(temperature: float) -> float:
        return _nll(told(temperature), truth, alone=alone)

    best = _least(loss, math.log(COLDEST), math.log(HOTTEST))
    right = scores.argmax(axis=1) == truth
    return Fitted(
        temperature=round(best, 4),
        pictures=len(truth),
        accuracy=round(float(right.mean()), 4),
        nll=(round(loss(1.0), 4), round(loss(best), 4)),
        error=(round(_error(told(1.0), right), 4), round(_error(told(best), right), 4)),
    )


def _read(file: Path) -> Iterator[Labelled]:
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        if line.strip():
            try:
                labelled = Labelled.model_validate(json.loads(line))
            except (ValueError, ValidationError) as error:
                raise InvalidRequest(f"{file}, line {number}: {error}") from error
            yield labelled.model_copy(update={"image": file.parent / labelled.image})


def _by_label(answer: object, labels: Sequence[str]) -> list[float]:
    value = answer.value if isinstance(answer, Told) else answer
    found: tuple[Label, ...] = value.options if isinstance(value, Answer) else value  # type: ignore[assignment]
    scores = {label.name: label.score for label in found}
    return [scores[label] for label in labels]


def _nll(scores: Scores, truth: npt.NDArray[np.int64], *, alone: bool) -> float:
    rows = np.arange(len(truth))
    kept = np.clip(scores, LEAST, 1 - LEAST)
    if not alone:
        return float(-np.log(kept[rows, truth]).mean())
    right = np.zeros_like(kept, dtype=bool)
    right[rows, truth] = True
    return float(-np.log(np.where(right, kept, 1 - kept)).mean())


def _error(scores: Scores, right: npt.NDArray[np.bool_]) -> float:
    """Return the expected calibration error: how far confidence and accuracy differ, over bins of confidence."""
    sure = scores.max(axis=1)
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = (abs(right[bins == one].mean() - sure[bins == one].mean()) * (bins == one).mean() for one in np.unique(bins))
    return float(sum(gaps))


def _least(loss: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function with one valley is least, by golden section over the temperature's logarithm."""
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(STEPS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(math.exp(left)) < loss(math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
