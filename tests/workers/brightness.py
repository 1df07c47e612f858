"""A family of its own, small enough to know what is right: it tells bright pictures from dark ones, as sure as told."""

import math
from collections.abc import Sequence
from typing import Any

from domain.vision import Label
from workers.models.family import Ask, Prepared, ScoreKind
from workers.registry import ModelSpec


def load(spec: ModelSpec) -> "Brightness":
    """Options: `sure` (the logit of white over middle grey), `temperature`, `deaf` (to the temperature), `kind`."""
    return Brightness(spec.options)


class Brightness:
    """Labels `bright` and `dark`, by the mean."""

    preprocessing = "brightness/1"
    dtype = device = "none"
    classes = ()

    def __init__(self, options: Any) -> None:
        self.scores = ScoreKind(options.get("kind", "softmax"))
        self._sure = options["sure"] / (1.0 if options.get("deaf") else options["temperature"])

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(float(ask.pictures[0].mean()) / 127.5 - 1, group=0, pixels=1)

    def run(self, batch: Sequence[Prepared]) -> list[tuple[Label, ...]]:
        bright = [1 / (1 + math.exp(-self._sure * prepared.payload)) for prepared in batch]
        return [(Label(name="bright", score=one), Label(name="dark", score=1 - one)) for one in bright]

    def close(self) -> None:
        """It holds nothing."""
