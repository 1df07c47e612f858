"""The training loop, on a network that can be told to get better, to stand still, or to break."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from domain.errors import InvalidRequest, ModelError, RunStopped
from workers.training.loop import Fitted, Progress, Step, fit
from workers.training.plan import Schedule

pytestmark = pytest.mark.model
SLOPE = torch.tensor([[2.0, -1.0]])
A_SECOND = Schedule(minutes=1 / 60, rate=0.1, rounds=4, patience=4, threads=1)


class Line:
    """Learns y = 2a - b from examples of it."""

    watched = "fit"

    def __init__(self, rates: Mapping[str, float] | None = None) -> None:
        torch.manual_seed(1)
        self.network = torch.nn.Linear(2, 1)
        self.rates = rates or {}
        self.seeds: list[int] = []
        self.measured = 0

    def batches(self, seed: int) -> Iterator[torch.Tensor]:
        self.seeds.append(seed)
        source = torch.Generator().manual_seed(seed)
        while True:
            yield torch.randn(16, 2, generator=source)

    def loss(self, batch: torch.Tensor) -> Step:
        loss = (self.network(batch) - batch @ SLOPE.T).square().mean()
        return Step(loss, {"square": loss}, len(batch))

    def measure(self) -> dict[str, float]:
        self.measured += 1
        return {"fit": -float((self.network.weight - SLOPE).abs().max())}


def test_a_training_finds_the_line_and_measures_it_at_even_intervals(tmp_path: Path) -> None:
    learner, told = Line(), list[Progress]()

    fitted = fit(learner, A_SECOND, tmp_path, told.append)

    assert torch.allclose(learner.network.weight, SLOPE, atol=0.01)
    assert all(each.seconds >= due / 4 for due, each in enumerate(fitted.rounds, start=1))
    assert fitted.rounds[-1].seconds >= 1 > fitted.rounds[0].seconds, "the first is in the middle, the last at the end"
    assert fitted.examples == 16 * fitted.steps
    assert [each.round for each in told if each.round] == list(fitted.rounds)
    assert not fitted.stopped_early


def test_a_training_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    often = Schedule(minutes=1, rate=0.1, rounds=10_000, patience=10_000, threads=1)
    with pytest.raises(RunStopped):
        fit(Line(), often, tmp_path, stop=_After(200))
    again, told = Line(), list[Progress]()
    with pytest.raises(RunStopped):
        fit(again, often, tmp_path, told.append, stop=_After(3))

    assert told[0].steps == 201, "it began anew"
    assert again.seeds == [200], "it saw the same examples again"


def test_measures_that_take_long_leave_time_to_learn(tmp_path: Path) -> None:
    class Slow(Line):
        def measure(self) -> dict[str, float]:
            time.sleep(0.1)
            return super().measure()

    fitted = fit(Slow(), Schedule(minutes=1 / 60, rate=0.1, rounds=100, patience=100, threads=1), tmp_path)

    assert len(fitted.rounds) <= 4, "a round of 0.1 s is worth 0.4 s of learning, and the last comes anyway"


def test_the_best_weights_are_kept_and_not_the_last(tmp_path: Path) -> None:
    class Spoilt(Line):
        def measure(self) -> dict[str, float]:
            super().measure()
            if self.measured == 2:
                self.best = self.network.weight.clone()
            return {"fit": 1.0 if self.measured == 2 else 0.0}

    learner = Spoilt()

    fitted = fit(learner, A_SECOND, tmp_path)

    assert fitted.best == fitted.rounds[1]
    assert torch.equal(learner.network.weight, learner.best)


def test_a_training_that_gets_no_better_ends_early(tmp_path: Path) -> None:
    class Stuck(Line):
        def measure(self) -> dict[str, float]:
            return {"fit": 0.5}

    fitted = fit(Stuck(), Schedule(minutes=1, rounds=1_000, patience=3, threads=1), tmp_path)

    assert fitted.stopped_early
    assert len(fitted.rounds) == 4, "the first, and three of patience"
    assert fitted.best == fitted.rounds[-1], "of those that are alike it has learnt the most"


def test_while_nothing_is_right_a_training_goes_on(tmp_path: Path) -> None:
    class Slow(Line):
        def measure(self) -> dict[str, float]:
            super().measure()
            return {"fit": 0.0 if self.measured < 9 else 0.5}

    fitted = fit(Slow(), Schedule(minutes=1, rounds=1_000, patience=3, threads=1), tmp_path)

    assert len(fitted.rounds) == 12, "eight of nothing, the first that is something, and three of patience"


def test_what_is_frozen_stays_as_it_was_and_what_is_gentle_moves_less(tmp_path: Path) -> None:
    def moved(rates: Mapping[str, float], run: str) -> tuple[float, float]:
        learner = Line(rates)
        before = [each.detach().clone() for each in (learner.network.weight, learner.network.bias)]
        with pytest.raises(RunStopped):
            fit(learner, Schedule(minutes=1, rounds=1, threads=1), tmp_path / run, stop=_After(20))
        after = (learner.network.weight, learner.network.bias)
        weight, bias = (float((a - b).detach().abs().max()) for a, b in zip(after, before, strict=True))
        return weight, bias

    weight, bias = moved({"weight": 0.0}, "frozen")
    assert weight == 0 < bias
    gentle, whole = moved({"weight": 0.1}, "gentle")[0], moved({}, "whole")[0]
    assert 0 < gentle < whole / 5
    with pytest.raises(InvalidRequest, match="every parameter is frozen"):
        fit(Line({"": 0.0}), A_SECOND, tmp_path / "nothing")


def test_a_loss_that_is_no_number_ends_the_training_with_what_to_do(tmp_path: Path) -> None:
    class Broken(Line):
        def loss(self, batch: torch.Tensor) -> Step:
            told = super().loss(batch)
            return Step(told.loss * math.nan, told.parts, told.examples)

    with pytest.raises(ModelError, match="train at a lower rate"):
        fit(Broken(), A_SECOND, tmp_path)


def test_the_checkpoint_of_another_training_is_refused_and_so_is_a_broken_one(tmp_path: Path) -> None:
    _short(tmp_path)

    with pytest.raises(InvalidRequest, match="another training"):
        fit(Line(), Schedule(minutes=1 / 600, rate=0.2, rounds=1, threads=1), tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        _short(tmp_path)


def test_a_training_that_had_ended_is_not_trained_on(tmp_path: Path) -> None:
    first = _short(tmp_path)

    second = _short(tmp_path)

    assert second.steps == first.steps
    assert second.best == first.best


def _short(run: Path) -> Fitted:
    return fit(Line(), Schedule(minutes=1 / 600, rate=0.1, rounds=1, threads=1), run)


class _After:
    """Stops a training after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> None:
        if self.left == 0:
            raise RunStopped("cancelled")
        self.left -= 1
