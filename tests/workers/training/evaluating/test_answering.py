"""Calls are answered in order and in batches, and one that fails takes no other with it."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pytest

from domain.errors import ModelError
from domain.vision import Capability
from workers.models.family import Ask, Prepared, ScoreKind, Told
from workers.training.evaluating.answering import answers


class Echo:
    """Tells a call's number back; refuses what it is told to, before or while it answers."""

    preprocessing = device = dtype = "none"
    scores = ScoreKind.NONE
    classes: tuple[str, ...] = ()

    def __init__(self, *, refuses: Sequence[int] = (), fails: Sequence[int] = ()) -> None:
        self.refuses, self.fails = refuses, fails
        self.batches: list[list[int]] = []

    def prepare(self, ask: Ask) -> Prepared:
        number = ask.arguments["number"]
        if number in self.refuses:
            raise ModelError("not this")
        group: Hashable = number % 2
        return Prepared(number, group=group, pixels=1)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        numbers = [prepared.payload for prepared in batch]
        self.batches.append(numbers)
        if set(numbers) & set(self.fails):
            raise ModelError("not these")
        return [Told(number, {}) if number == 0 else number for number in numbers]

    def close(self) -> None:
        """Hold nothing."""


def asked(model: Echo, count: int, batch: int) -> list[Any]:
    asks = (Ask(Capability.ASK, (np.zeros((1, 1, 3), np.uint8),), {"number": number}) for number in range(count))
    seen = []
    got = list(answers(model, asks, batch, lambda: seen.append(1)))
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
