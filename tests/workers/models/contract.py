"""What every model family must hold to. A family's test inherits `FamilyContract` and says what it is given.

The base class is not collected by itself: its name does not start with `Test`.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from domain.errors import ModelError, SightlineError
from domain.vision import Capability
from workers.models.family import Ask, Model, Pixels

ODD_SIZES = [(1, 1), (1, 700), (700, 1), (3, 2000), (33, 47), (480, 640)]
"""Height and width of pictures that have broken preprocessing elsewhere."""


def grey(height: int, width: int) -> Pixels:
    """Return a picture whose three channels are the same."""
    shade = np.linspace(40, 200, height * width, dtype=np.uint8).reshape(height, width, 1)
    return np.repeat(shade, 3, axis=2)


def coloured(height: int, width: int, seed: int) -> Pixels:
    """Return a picture of a few coloured rectangles, another one for each seed."""
    random = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), random.integers(0, 255, 3), dtype=np.uint8)
    for _ in range(6):
        top, left = random.integers(0, height), random.integers(0, width)
        pixels[top : top + height // 2 + 1, left : left + width // 2 + 1] = random.integers(0, 255, 3)
    return pixels


class FamilyContract:
    """Inherit it, and give a fixture `model` and the methods below."""

    def asks(self) -> Sequence[Ask]:
        """Return at least three different calls that may share a batch."""
        raise NotImplementedError

    def ask_of(self, pixels: Pixels) -> Ask:
        """Return a call on any picture."""
        raise NotImplementedError

    def unknown_ask(self) -> Ask:
        """Return a call that the family cannot answer."""
        return Ask(Capability.IMAGINE, (), {"prompt": "a cat"})

    def check(self, ask: Ask, answer: Any) -> None:
        """Fail unless the answer has the right type and lies within the picture."""
        raise NotImplementedError

    def same(self, one: Any, other: Any) -> bool:
        """Say whether two answers agree within the family's stated tolerance."""
        raise NotImplementedError

    def fresh(self) -> Model:
        """Load another model, to be closed."""
        raise NotImplementedError

    def test_answers_are_typed_and_come_in_the_order_of_the_calls(self, model: Model) -> None:
        asks = self.asks()

        answers = model.run([model.prepare(ask) for ask in asks])

        assert len(answers) == len(asks)
        for ask, answer in zip(asks, answers, strict=True):
            self.check(ask, answer)

    def test_a_call_is_answered_alone_as_it_is_in_company(self, model: Model) -> None:
        prepared = [model.prepare(ask) for ask in self.asks()]

        together = model.run(prepared)
        backwards = list(model.run(prepared[::-1]))[::-1]
        alone = [model.run([one])[0] for one in prepared]

        assert len({one.group for one in prepared}) == 1
        # Calls that were answered alike would hide that answers were swapped, or that one's went to all.
        assert not any(self.same(a, b) for a, b in combinations(together, 2))
        assert all(self.same(a, b) for a, b in zip(alone, together, strict=True))
        assert all(self.same(a, b) for a, b in zip(alone, backwards, strict=True))

    @pytest.mark.parametrize("size", ODD_SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    def test_a_picture_of_an_odd_size_is_answered(self, model: Model, size: tuple[int, int]) -> None:
        ask = self.ask_of(grey(*size))

        (answer,) = model.run([model.prepare(ask)])

        self.check(ask, answer)

    def test_preparing_leaves_the_picture_as_it_was(self, model: Model) -> None:
        pixels = grey(48, 64)
        before = pixels.copy()

        model.run([model.prepare(self.ask_of(pixels))])

        assert np.array_equal(pixels, before)

    def test_a_call_says_what_it_weighs(self, model: Model) -> None:
        prepared = [model.prepare(ask) for ask in self.asks()]

        assert all(one.pixels + one.tokens > 0 and isinstance(hash(one.group), int) for one in prepared)

    def test_a_call_that_the_family_cannot_answer_is_refused_while_preparing(self, model: Model) -> None:
        with pytest.raises(ModelError):
            model.prepare(self.unknown_ask())

    def test_a_model_says_how_it_computes(self, model: Model) -> None:
        assert model.preprocessing
        assert model.dtype
        assert model.device

    def test_a_closed_model_answers_nothing(self) -> None:
        model = self.fresh()
        prepared = model.prepare(self.asks()[0])

        model.close()

        with pytest.raises(SightlineError):
            model.run([prepared])
