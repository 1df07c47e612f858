"""Calls are answered in order and in batches, and one that fails takes no other with it."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pytest

from domain.errors import DeviceOutOfMemory, ImageUnreadable, ModelError, SightlineError
from domain.vision import Capability
from workers.models.family import Ask, DeviceLost, Prepared, ScoreKind, Told
from workers.training.evaluating.answering import Limits, answers


class Echo:
    """Tells a call's number back; refuses what it is told to, before or while it answers."""

    preprocessing = device = dtype = "none"
    scores = ScoreKind.NONE
    classes: tuple[str, ...] = ()

    def __init__(
        self, *, refuses: Sequence[int] = (), fails: Sequence[int] = (), fault: Exception | None = None, fits: int = 99
    ) -> None:
        self.refuses, self.fails, self.fits = refuses, fails, fits
        self.fault = fault or ModelError("not these")
        self.batches: list[list[int]] = []

    def prepare(self, ask: Ask) -> Prepared:
        number = ask.arguments["number"]
        if number in self.refuses:
            raise ModelError("not this")
        group: Hashable = number % 2
        return Prepared(number, group=group, pixels=10, tokens=number)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        numbers = [prepared.payload for prepared in batch]
        self.batches.append(numbers)
        if set(numbers) & set(self.fails):
            raise self.fault
        if len(batch) > self.fits:
            raise DeviceOutOfMemory("too many")
        return [Told(number, {}) if number == 0 else number for number in numbers]

    def close(self) -> None:
        """Hold nothing."""


def asked(model: Echo, count: int, batch: int | Limits) -> list[Any]:
    limits = batch if isinstance(batch, Limits) else Limits(batch)
    asks = (Ask(Capability.ASK, (np.zeros((1, 1, 3), np.uint8),), {"number": number}) for number in range(count))
    seen = []
    got = list(answers(model, asks, limits, lambda: seen.append(1)))
    assert len(seen) == count
    return got


def test_answers_come_in_order_though_only_one_group_shares_a_batch() -> None:
    model = Echo()

    assert asked(model, 6, 4) == [0, 1, 2, 3, 4, 5]
    assert model.batches == [[0, 2], [1, 3], [4], [5]]


def test_a_call_that_fails_fails_alone() -> None:
    assert asked(Echo(refuses=[1], fails=[4]), 6, 6) == [0, None, 2, 3, None, 5]


def test_a_model_that_fails_on_everything_was_not_measured() -> None:
    with pytest.raises(ModelError, match="failed on each of 3 inputs, on the last so: not these"):
        asked(Echo(refuses=[0], fails=[1, 2]), 3, 2)


@pytest.mark.parametrize(
    "fault", [RuntimeError("sizes of tensors must match"), MemoryError(), ImageUnreadable("cut off")], ids=str
)
def test_whatever_a_network_raises_takes_no_other_call_with_it(fault: Exception) -> None:
    assert asked(Echo(fails=[4], fault=fault), 6, 6) == [0, 1, 2, 3, None, 5]


def test_a_lost_device_ends_it() -> None:
    with pytest.raises(DeviceLost):
        asked(Echo(fails=[4], fault=DeviceLost("gone")), 6, 6)


def test_a_batch_that_does_not_fit_into_memory_is_halved() -> None:
    model = Echo(fits=2)

    assert asked(model, 8, 8) == list(range(8))
    assert model.batches == [[0, 2, 4, 6], [0, 2], [4, 6], [1, 3, 5, 7], [1, 3], [5, 7]]


@pytest.mark.parametrize(
    ("limits", "batches"),
    [
        (Limits(8, pixels=20), [[0, 2], [4, 6], [1, 3], [5, 7]]),
        (Limits(8, tokens=6), [[0, 2, 4], [6], [1, 3], [5], [7]]),
        (Limits(8, pixels=1), [[0], [2], [4], [6], [1], [3], [5], [7]]),
    ],
)
def test_a_batch_weighs_no_more_than_a_worker_would_give_it(limits: Limits, batches: list[list[int]]) -> None:
    model = Echo()

    assert asked(model, 8, limits) == list(range(8))
    assert model.batches == batches


def test_what_could_not_be_asked_has_no_answer() -> None:
    asks: list[Ask | SightlineError] = [ImageUnreadable("no picture"), Ask(Capability.ASK, (), {"number": 1})]

    assert list(answers(Echo(), asks, Limits(2))) == [None, 1]
    with pytest.raises(ModelError, match="each of 1 inputs, on the last so: no picture"):
        list(answers(Echo(), asks[:1], Limits(2)))
