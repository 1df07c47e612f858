"""One training, from a labelled set to a registered revision: what the command does, and what the job does."""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from domain.errors import InvalidRequest
from domain.vision import Capability
from storage.revisions import Facts, Revision
from storage.settings import Settings
from workers.database import database
from workers.training.coco import Dataset
from workers.training.curves import draw_curves
from workers.training.learners.learner import FamilyLearner, Options, family
from workers.training.loop import Fitted, Progress, Round, fit
from workers.training.measures.evaluation import Evaluation
from workers.training.plan import Schedule
from workers.training.registering import register
from workers.training.runs import Left, run_folder
from workers.training.sets.find import find
from workers.training.sets.hashing import data_hash
from workers.training.sets.labelled_set import Kind, LabelledSet
from workers.training.sets.splitting import Division, Parts, split

CURVES = "curves.png"
ASKS: Mapping[Kind, frozenset[Capability]] = {
    Kind.BOXES: frozenset({Capability.DETECT, Capability.GROUND}),
    Kind.PHRASES: frozenset({Capability.GROUND}),
    Kind.LABELS: frozenset({Capability.CLASSIFY}),
    Kind.ANSWERS: frozenset({Capability.ASK}),
    Kind.READING: frozenset({Capability.READ, Capability.CAPTION, Capability.CLASSIFY}),
    Kind.TRANSLATION: frozenset({Capability.TRANSLATE}),
    Kind.DRAFTS: frozenset({Capability.DRAFT, Capability.ASK}),
}
"""What each kind of set asks for, any of it."""
MINUTES_OF_A_ROUND = 2.0
FEWEST_ROUNDS, MOST_ROUNDS = 5, 30


@dataclass(frozen=True)
class Order:
    """What is to be trained, on what, for how long, and what becomes of it."""

    family: str
    dataset: Path
    name: str
    minutes: float = 30.0
    rate: float | None = None
    """the highest; the family's own where None"""
    patience: int = 5
    """so many rounds that were no better end it"""
    options: Options = field(default_factory=Options)
    division: Division = field(default_factory=Division)
    parent: str | None = None
    """what it begins with, in words: a revision, a file"""
    held_out: Path | None = None
    """another set to measure it on, in place of a share of this one"""
    command: str = ""


@dataclass(frozen=True)
class Trained:
    """A training that ended: the revision that came of it, how it went, and the set that it was trained on.

    `held_out` is the set to measure it on, in place of the share that was held out, where there is such a one.
    """

    revision: Revision
    fitted: Fitted
    whole: LabelledSet
    parts: Parts[LabelledSet]
    held_out: LabelledSet | None = None


Report = Callable[[Progress], None]
Stop = Callable[[], None]
Judge = Callable[[Trained], Evaluation | None]


def train(
    order: Order,
    settings: Settings,
    run: Path,
    *,
    report: Report,
    stop: Stop,
    judge: Judge = lambda trained: None,
    left: Left = Left.GO_ON,
) -> tuple[Trained, Evaluation | None]:
    """Train, register the outcome as a revision, and return it as it was judged.

    What an attempt before left in `run` is gone on from, also where that ended while it was being judged. `stop` is
    called between two steps, and may raise to end it with a checkpoint. Raises InvalidRequest on a set, an option or a
    name that is not right, before anything is trained; Conflict where `run` holds another training, Unavailable where
    a process is at it.
    """
    with database(settings):
        pass  # one that cannot be reached is told of now, and not after an hour
    whole = find(order.dataset)
    held_out = None if order.held_out is None else find(order.held_out)
    known, parts = data_hash(whole), split(whole, order.division)
    with run_folder(run, _asked(order, known), left):
        learner = family(order.family).learner(parts, order.options)
        if held_out is not None:
            _can_be_asked(learner, held_out, whole)
        schedule = _schedule(order, learner)
        _facts(order, learner, known, parts, None)  # a name that cannot be registered is told of before
        fitted = fit(learner, schedule, run, report, stop)
        outcome = run / "outcome"
        outcome.mkdir(exist_ok=True)
        learner.save(outcome)
        draw_curves(fitted, f"{order.name} ({order.family})", learner.watched, outcome / CURVES)
        revision = register(settings, outcome, _facts(order, learner, known, parts, fitted))
        trained = Trained(revision, fitted, whole, parts, held_out)
        return trained, judge(trained)


def _can_be_asked(learner: FamilyLearner, held_out: LabelledSet, whole: LabelledSet) -> None:
    """Raise InvalidRequest where what is learnt cannot be measured on another set."""
    if not ASKS[held_out.kind] & set(learner.capabilities):
        raise InvalidRequest(
            f"{held_out.place} is a set of {held_out.kind.value}, and what is learnt can "
            f"{', '.join(learner.capabilities)}"
        )
    known = whole.classes if isinstance(whole, Dataset) else ()
    strange = held_out.names() - set(known) if isinstance(held_out, Dataset) else set()
    if strange:
        raise InvalidRequest(f"{held_out.place} has classes that are not learnt: {', '.join(sorted(strange))}")


def _schedule(order: Order, learner: FamilyLearner) -> Schedule:
    rounds = round(order.minutes / MINUTES_OF_A_ROUND)
    return Schedule(
        minutes=order.minutes,
        rate=learner.rate if order.rate is None else order.rate,
        seed=order.options.seed,
        rounds=min(max(rounds, FEWEST_ROUNDS), MOST_ROUNDS),
        patience=order.patience,
    )


def _asked(order: Order, known: str) -> dict[str, Any]:
    """Return what tells this training from another in the same folder."""
    options = {name: value for name, value in vars(order.options).items() if name not in {"start", "more", "limits"}}
    return {
        "family": order.family,
        "data": known,
        "minutes": order.minutes,
        "rate": order.rate,
        "from": order.parent,
        "split": vars(order.division),
        **options,
        "options": dict(order.options.more),
    }


def _facts(order: Order, learner: FamilyLearner, known: str, parts: Parts[Any], fitted: Fitted | None) -> Facts:
    try:
        return Facts(
            name=order.name,
            family=order.family,
            capabilities=learner.capabilities,
            licence=learner.licence,
            command=order.command,
            seed=order.options.seed,
            data_hash=known,
            split=parts.told,
            metrics={name: value for name, value in fitted.best.measures.items() if isfinite(value)} if fitted else {},
            rounds=tuple(told(one) for one in fitted.rounds) if fitted else (),
            duration_s=fitted.seconds if fitted else 0.0,
            hardware=hardware(order.options.device),
            parent=order.parent,
            options=learner.served,
        )
    except ValueError as error:
        raise InvalidRequest(f"it could not be registered: {error}") from error


def told(one: Round) -> dict[str, Any]:
    """Return a round as JSON can say it: a figure that is no number is None."""
    figures = {kind: getattr(one, kind) for kind in ("losses", "measures")}
    numbers = {
        kind: {name: value if isfinite(value) else None for name, value in of_kind.items()}
        for kind, of_kind in figures.items()
    }
    return {"seconds": round(one.seconds, 1), "steps": one.steps, **numbers}


def hardware(device: str) -> str:
    """Say what a training runs on: the processor and its cores, or the accelerator."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text("utf-8").split("\n") if told.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
