"""Fitting a temperature to a model's scores from a labelled set (Guo et al. 2017: calibration of modern networks).

Logits divided by a temperature keep their order: what is likeliest stays so, and only how sure it is changes. How well
it does is measured on pictures that it was not fitted to, with the model running at that temperature.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from domain.errors import InvalidRequest
from domain.images import ImageLimits
from domain.vision import Capability
from workers.judging import Asked, Boxes, Judgement, Labels, Look, Questions, Texts
from workers.labelled import SPLIT, LabelledPicture, LabelledQuestion, LabelledText, halves, read_lines
from workers.models import family
from workers.registry import ModelSpec
from workers.training.coco import read as read_boxes
from workers.training.measures.calibration import expected_error

COLDEST, HOTTEST = 0.05, 20.0
ROUNDS = 10
"""So often at most the model runs over the set: once as it is, and again until its temperature stays (twice, if what it
does to the scores is what the fit takes it to do; an option's share of sigmoids, say, needs more)."""
SETTLED = 0.02
"""A temperature that would change by less than this share is left as it is."""
LEAST = 1e-7
"""Scores nearer to 0 or 1 count as this far from them, so that one sure mistake does not decide all."""
ABSENT = -1e9
"""The logit of a score that an answer does not have: finite, so that it has a gradient of 0."""
FEWEST_ANSWERS = 10
"""Of each half."""


@dataclass(frozen=True)
class Measured:
    """How well scores say how often the model is right."""

    nll: float
    """mean negative log-likelihood of what is right"""
    error: float
    """expected calibration error over 15 bins"""
    right: float
    """share of the answers that are right"""


@dataclass(frozen=True)
class Fitted:
    """A temperature, and what it changes on the held-out half, before and with it."""

    temperature: float
    capability: str
    split: str
    pictures: int
    fitted_on: int
    """answers: of pictures, questions or boxes"""
    held_out: int
    accuracy: float
    nll: tuple[float, float]
    error: tuple[float, float]
    helps: bool
    """whether what is right is likelier with it, and so worth to be written"""


def calibrate(spec: ModelSpec, source: Path, limits: ImageLimits) -> Fitted:
    """Fit the temperature of a row of a profile from a labelled set.

    `source` is a file with a JSON object in each line, or a data set's folder (COCO):

    - `{"image": "a.jpg", "label": "a cat"}`: classified among the labels of all lines.
    - `{"image": "a.jpg", "question": "Is it shut?", "options": ["yes", "no"], "answer": "no"}`: asked.
    - `{"image": "a.jpg", "text": "EXIT"}`: read, a line of text in each picture.
    - `annotations.json` and `images/`: detected, or grounded by the names of the classes.

    Raises InvalidRequest where the set is malformed, too small, speaks of what the model does not know, or where no
    temperature can be told from it, with what to do.
    """
    asked = _asked(spec, source)
    fitting, held_out = halves(asked.pictures, source)
    temperature = 1.0
    before: Measured | None = None
    after: Measured | None = None
    for _ in range(ROUNDS):
        shares, judged = _judged(spec, asked, temperature, Look(limits))
        seen, unseen = ([one for one in judged if one.picture in half] for half in (fitting, held_out))
        _check(source, seen, unseen, shares=shares)
        previous, after = after, measure(unseen, shares=shares)
        if after == previous:
            raise InvalidRequest(f"{spec.name}: the family {spec.family!r} takes no temperature; its scores stay")
        before = before or after
        step = fit(seen, shares=shares)
        if abs(math.log(step)) < SETTLED:
            break
        temperature = _bounded(source, round(temperature * step, 4))
    else:
        raise InvalidRequest(
            f"{spec.name}: no temperature settled within {ROUNDS} rounds, the last was {temperature:g}; "
            f"add labelled pictures, or leave the model uncalibrated"
        )
    return Fitted(
        temperature=temperature,
        capability=asked.capability.value,
        split=SPLIT,
        pictures=len(fitting) + len(held_out),
        fitted_on=len(seen),
        held_out=len(unseen),
        accuracy=round(after.right, 4),
        nll=(round(before.nll, 4), round(after.nll, 4)),
        error=(round(before.error, 4), round(after.error, 4)),
        helps=after.nll <= before.nll,
    )


def fit(judged: Sequence[Judgement], *, shares: bool) -> float:
    """Return the temperature that makes what was right likeliest, by L-BFGS over its logarithm.

    `shares` says that the scores of an answer share out 1 (softmax) and are not each by itself (sigmoid). It stays
    within 0.025 and 40: where nothing bounds it, it is one of these.
    """
    logits, right = _logits(judged, shares=shares)
    log = torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([log], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def warm() -> torch.Tensor:
        return log.clamp(math.log(COLDEST / 2), math.log(HOTTEST * 2)).exp()

    def loss() -> float:
        solver.zero_grad()
        told = _nll(logits / warm(), right, shares=shares)
        told.backward()  # type: ignore[no-untyped-call]
        return float(told.detach())

    with torch.enable_grad():
        solver.step(loss)  # type: ignore[no-untyped-call]
    return float(warm().detach())


def measure(judged: Sequence[Judgement], *, shares: bool) -> Measured:
    """Say how well scores tell how often the model is right."""
    logits, right = _logits(judged, shares=shares)
    sure, hit = _sure(judged, shares=shares)
    error = expected_error(sure.tolist(), hit.bool().tolist())
    return Measured(float(_nll(logits, right, shares=shares)), error, float(hit.mean()))


def _asked(spec: ModelSpec, source: Path) -> Asked:
    """Read the set. Raises InvalidRequest where the model cannot do what it asks."""
    asked: Asked
    if source.is_dir():
        capability = Capability.GROUND if Capability.DETECT not in spec.capabilities else Capability.DETECT
        asked = Boxes(source, read_boxes(source), capability)
    else:
        asked = _of_lines(source)
    if asked.capability not in spec.capabilities:
        raise InvalidRequest(
            f"{spec.name} cannot {asked.capability}, which {source} asks for; it can {', '.join(spec.capabilities)}"
        )
    return asked


def _of_lines(source: Path) -> Asked:
    lines = read_lines(source)
    questions = [line for line in lines if isinstance(line, LabelledQuestion)]
    texts = [line for line in lines if isinstance(line, LabelledText)]
    labels = [line for line in lines if isinstance(line, LabelledPicture)]
    if open_ones := [line for line in questions if not line.options]:
        raise InvalidRequest(
            f"{source}: {open_ones[0].question!r} has no options; a free answer has no scores to calibrate: give some"
        )
    if not questions + texts + labels:
        raise InvalidRequest(f"{source}: drafts, translations and places of phrases have no scores to calibrate here")
    return Questions(source, questions) if questions else Texts(source, texts) if texts else Labels(source, labels)


def _judged(spec: ModelSpec, asked: Asked, temperature: float, look: Look) -> tuple[bool, list[Judgement]]:
    model = family.load(spec.model_copy(update={"options": {**spec.options, "temperature": temperature}}))
    try:
        return asked.shares(model), list(asked.judged(model, temperature, look))
    finally:
        model.close()


def _check(source: Path, seen: Sequence[Judgement], unseen: Sequence[Judgement], *, shares: bool) -> None:
    """Raise InvalidRequest where too little was answered, or where all of it was right or wrong."""
    if min(len(seen), len(unseen)) < FEWEST_ANSWERS:
        raise InvalidRequest(
            f"{source}: the model gave {len(seen)} answers to fit to and {len(unseen)} to hold out; the fewest are "
            f"{FEWEST_ANSWERS} of each: add labelled pictures"
        )
    _, hit = _sure(seen, shares=shares)
    if hit.all():
        raise InvalidRequest(
            f"{source}: each of {len(seen)} answers is right, so that nothing bounds how sure to be; add pictures that "
            f"the model finds hard"
        )
    if not hit.any():
        raise InvalidRequest(
            f"{source}: each of {len(seen)} answers is wrong; see that labels mean what the model means by them, or "
            f"take another model"
        )


def _bounded(source: Path, temperature: float) -> float:
    if not COLDEST <= temperature <= HOTTEST:
        raise InvalidRequest(
            f"{source}: no temperature from {COLDEST} to {HOTTEST:g} fits: the scores say nothing of what is right, or "
            f"part it perfectly; check the labels, add more, or leave the model uncalibrated"
        )
    return temperature


def _logits(judged: Sequence[Judgement], *, shares: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return answers × scores logits and which are right. Where answers have fewer scores, the rest is as if never."""
    if not shares:
        flat = torch.tensor([score for one in judged for score in one.scores], dtype=torch.float64)
        return flat.clamp(LEAST, 1 - LEAST).logit()[:, None], torch.tensor(
            [[hit] for one in judged for hit in one.right]
        )
    width = max(len(one.scores) for one in judged)
    logits = torch.full((len(judged), width), ABSENT, dtype=torch.float64)
    right = torch.zeros((len(judged), width), dtype=torch.bool)
    for row, one in enumerate(judged):
        logits[row, : len(one.scores)] = torch.tensor(one.scores, dtype=torch.float64).clamp(min=LEAST).log()
        right[row, : len(one.right)] = torch.tensor(one.right)
    return logits, right


def _nll(logits: torch.Tensor, right: torch.Tensor, *, shares: bool) -> torch.Tensor:
    if shares:
        return -log_softmax(logits, dim=1)[right].mean()
    return binary_cross_entropy_with_logits(logits, right.double())


def _sure(judged: Sequence[Judgement], *, shares: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how sure the model is, and whether it is right: of its choice in each answer, or of every score."""
    if shares:
        chosen = [max(zip(one.scores, one.right, strict=True), key=lambda pair: pair[0]) for one in judged]
    else:
        chosen = [pair for one in judged for pair in zip(one.scores, one.right, strict=True)]
    sure, right = zip(*chosen, strict=True)
    return torch.tensor(sure, dtype=torch.float64), torch.tensor(right).double()
