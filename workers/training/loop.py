"""The training loop: what every family that learns goes through, from the first step to the best weights.

A family brings a `Learner`: a network, batches, a loss, a measure. The loop brings the rest: a rate that follows the
clock, so that a training ends when it was said to and with the rate where it should be; an average of the weights,
which is what is measured and kept; measures at even intervals, and an end when they get no better; and a checkpoint
from which the same call goes on after a crash. It knows nothing of data sets, files of weights or jobs.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.optim.swa_utils import AveragedModel

from domain.errors import InvalidRequest, ModelError
from workers.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from workers.training.plan import Schedule, rate_at

CLIP = 10.0
"""The longest gradient, as the norm over all parameters."""
AVERAGE, AVERAGE_RISE = 0.998, 300
"""How much of the averaged weights stays at each step, and over how many steps that share rises from zero."""
MEASURING = 0.25
"""How long measuring may take, as a share of the learning before it; where it takes longer, rounds are left out."""
SAVE_EVERY_S = 120.0
"""How much work a crash may cost."""


@dataclass(frozen=True)
class Step:
    """What a batch came to: the loss to go down from, its parts by name, and how many examples it was taken over."""

    loss: torch.Tensor
    parts: Mapping[str, torch.Tensor]
    examples: int


class Learner(Protocol):
    """A network that learns from a set."""

    network: torch.nn.Module
    watched: str
    """the measure that decides which weights are kept, and when to stop; higher is better, 0 is nothing right"""
    rates: Mapping[str, float]
    """by how a parameter's name begins: the share of the rate that it learns at; 0 freezes it, others learn at 1"""

    def batches(self, seed: int) -> Iterator[Any]:
        """Return batches without an end, in an order given by the seed."""

    def loss(self, batch: Any) -> Step:  # noqa: ANN401  (each family's own)
        """Judge one batch."""

    def measure(self) -> Mapping[str, float]:
        """Judge the network, as it stands, on examples that it does not learn from."""


@dataclass(frozen=True)
class Round:
    """A measure in the course of a training: after so many seconds and steps."""

    seconds: float
    steps: int
    losses: Mapping[str, float]
    """their means since the round before"""
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Progress:
    """Where a training stands; `round` is set where one has just been measured."""

    share: float
    steps: int
    examples: int
    losses: Mapping[str, float]
    round: Round | None = None


@dataclass(frozen=True)
class Fitted:
    """How a training went. The learner's network holds the best averaged weights."""

    seconds: float
    steps: int
    examples: int
    rounds: tuple[Round, ...]
    best: Round
    stopped_early: bool


def fit(
    learner: Learner,
    schedule: Schedule,
    run: Path,
    report: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], None] = lambda: None,
) -> Fitted:
    """Train until the schedule's minutes are over, or its patience is; go on from the checkpoint in `run`, if there is.

    `stop` is called between two steps and may raise, which ends the training with a checkpoint. Raises InvalidRequest
    where `run` holds the checkpoint of another training, ModelError where the loss is no number any more.
    """
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(schedule.threads)
    run.mkdir(parents=True, exist_ok=True)
    training = _Training(learner, schedule, run)
    training.resume()
    stream = learner.batches(schedule.seed + training.steps)
    learner.network.train()
    while not training.over:
        try:
            stop()
        except BaseException:
            training.save()
            raise
        report(training.step(next(stream)))
        if training.round_is_due:
            report(training.measure())
        if training.save_is_due:
            training.save()
    return training.end()


@dataclass
class _Training:
    """A training in progress: what it has, and how far it is."""

    learner: Learner
    schedule: Schedule
    run: Path
    steps: int = 0
    examples: int = 0
    rounds: list[Round] = field(default_factory=list)
    best: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._optimizer = _optimizer(self.learner, self.schedule)
        self._average = AveragedModel(self.learner.network, avg_fn=_averaged, use_buffers=True)
        self._began = self._saved = time.monotonic()
        self._losses: dict[str, list[float]] = {}
        self._learning_since = self._measuring_s = 0.0

    @property
    def seconds(self) -> float:
        """How long it took so far, whatever the number of its attempts."""
        return time.monotonic() - self._began

    @property
    def share(self) -> float:
        return self.seconds / (60 * self.schedule.minutes)

    @property
    def over(self) -> bool:
        """Whether a round was measured at the end, or none is worth waiting for."""
        return bool(self.rounds) and (self.rounds[-1].seconds >= 60 * self.schedule.minutes or self._hopeless)

    @property
    def _hopeless(self) -> bool:
        """Whether so many rounds have passed without a better one that no better one is expected.

        While nothing at all is right (0), nothing is told by that.
        """
        scores = self._scores
        best = max(scores)
        return best > 0 and len(scores) - 1 - scores.index(best) >= self.schedule.patience

    @property
    def _best_at(self) -> int:
        """The last of the best: it has learnt more than one that measured the same before it."""
        scores = self._scores
        return len(scores) - 1 - scores[::-1].index(max(scores))

    @property
    def _scores(self) -> list[float]:
        return [_score(each.measures[self.learner.watched]) for each in self.rounds]

    @property
    def round_is_due(self) -> bool:
        """Whether the end has come, or a mark was passed since the last round and measuring does not take too much."""
        if self.share >= 1:
            return True
        before = self.rounds[-1].seconds / (60 * self.schedule.minutes) if self.rounds else 0.0
        marks = math.floor(self.share * self.schedule.rounds) - math.floor(before * self.schedule.rounds)
        return marks > 0 and self.seconds - self._learning_since >= self._measuring_s / MEASURING

    @property
    def save_is_due(self) -> bool:
        return time.monotonic() - self._saved > SAVE_EVERY_S

    def step(self, batch: Any) -> Progress:  # noqa: ANN401
        """Learn from one batch."""
        rate = self.schedule.rate * rate_at(min(self.share, 1.0))
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        told = self.learner.loss(batch)
        losses = {name: float(part.detach()) for name, part in told.parts.items()}
        if not torch.isfinite(told.loss):
            raise ModelError(
                f"the loss is no number after {self.steps} steps: {losses}; train at a lower rate than "
                f"{self.schedule.rate:g}, or look for an example that is no picture of anything"
            )
        self._optimizer.zero_grad(set_to_none=True)
        told.loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learner.network.parameters(), max_norm=CLIP)
        self._optimizer.step()
        self._average.update_parameters(self.learner.network)
        self.steps += 1
        self.examples += told.examples
        for name, value in losses.items():
            self._losses.setdefault(name, []).append(value)
        return Progress(self.share, self.steps, self.examples, losses)

    def measure(self) -> Progress:
        """Measure the averaged weights, and keep them if they are the best so far."""
        losses = {name: sum(values) / len(values) for name, values in self._losses.items()}
        with self._averaged_weights():
            began = self.seconds
            self.rounds.append(Round(began, self.steps, losses, dict(self.learner.measure())))
            self._learning_since, self._measuring_s = self.seconds, self.seconds - began
            if self._best_at == len(self.rounds) - 1:
                self.best = _copy(self.learner.network)
        self._losses = {}
        self.save()
        return Progress(self.share, self.steps, self.examples, losses, self.rounds[-1])

    def end(self) -> Fitted:
        """Put the best weights into the network."""
        assert self.best is not None  # a training is over after a round at the earliest
        self.learner.network.load_state_dict(self.best)
        self.learner.network.eval()
        best = self.rounds[self._best_at]
        early = self.rounds[-1].seconds < 60 * self.schedule.minutes
        return Fitted(self.seconds, self.steps, self.examples, tuple(self.rounds), best, early)

    def save(self) -> None:
        """Write a checkpoint."""
        kept = Checkpoint(
            training=self._name(),
            network=self.learner.network.state_dict(),
            average=self._average.state_dict(),
            optimizer=self._optimizer.state_dict(),
            best=self.best,
            seconds=self.seconds,
            steps=self.steps,
            examples=self.examples,
            rounds=[vars(each) for each in self.rounds],
        )
        write_checkpoint(kept, self.run)
        self._saved = time.monotonic()

    def resume(self) -> None:
        """Go on from the checkpoint. Raises InvalidRequest where it is another training's."""
        kept = read_checkpoint(self.run)
        if kept is None:
            return
        if kept.training != self._name():
            raise InvalidRequest(
                f"{self.run} holds the checkpoint of another training ({kept.training}), not of this one "
                f"({self._name()}); choose another folder, or remove it"
            )
        self.learner.network.load_state_dict(kept.network)
        self._average.load_state_dict(kept.average)
        self._optimizer.load_state_dict(kept.optimizer)
        self.best, self.steps, self.examples = kept.best, kept.steps, kept.examples
        self.rounds = [Round(**each) for each in kept.rounds]
        self._began = time.monotonic() - kept.seconds

    def _name(self) -> str:
        """What tells this training from others: its schedule, and what it trains."""
        kind, plan = type(self.learner).__name__, self.schedule
        size = sum(parameter.numel() for parameter in self.learner.network.parameters())
        return f"{kind} of {size} weights, rate {plan.rate:g}, {plan.minutes:g} min, seed {plan.seed}"

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Let the network hold the averaged weights for a while, and be in the mode that answers."""
        own = _copy(self.learner.network)
        self.learner.network.load_state_dict(self._average.module.state_dict())
        self.learner.network.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.learner.network.load_state_dict(own)
            self.learner.network.train()


def _optimizer(learner: Learner, schedule: Schedule) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter, 2019) that lets only matrices decay, not biases and normalisation."""
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in learner.network.named_parameters():
        share = next((rate for begin, rate in learner.rates.items() if name.startswith(begin)), 1.0)
        parameter.requires_grad_(parameter.requires_grad and share > 0)
        if parameter.requires_grad:
            groups.setdefault((share, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise InvalidRequest("nothing of the network is left to learn: every parameter is frozen")
    told = [
        {"params": parameters, "share": share, "weight_decay": schedule.decay if decays else 0.0}
        for (share, decays), parameters in groups.items()
    ]
    return torch.optim.AdamW(told, lr=schedule.rate)


def _averaged(average: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int) -> torch.Tensor:
    """Move the average towards the current weights (Polyak and Juditsky, 1992); counters are taken as they are."""
    if not average.is_floating_point():
        return current
    stays = AVERAGE * (1 - math.exp(-(float(steps) + 1) / AVERAGE_RISE))
    return torch.lerp(current, average, stays)


def _copy(network: torch.nn.Module) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _score(value: float) -> float:
    """Return a measure as something to compare: what could not be measured is the worst."""
    return value if math.isfinite(value) else -math.inf
