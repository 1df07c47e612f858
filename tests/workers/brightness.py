"""A family of its own, small enough to know what is right: it tells bright pictures from dark ones, as sure as told.

It also grounds, any phrase where the picture is at its brightest, and reads EXIT everywhere, the surer the brighter.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from domain.geometry import Box, Polygon
from domain.vision import Capability, Grounding, Label, TextRegion
from workers.models.family import Ask, Prepared, ScoreKind
from workers.registry import ModelSpec


def load(spec: ModelSpec) -> "Brightness":
    """Options: `sure` (the logit of white over middle grey), `temperature` and the `power` of it, `kind` of scores."""
    return Brightness(spec.options)


class Brightness:
    """Labels `bright` and `dark`, by the mean."""

    preprocessing = "brightness/1"
    dtype = device = "none"
    classes = ()

    def __init__(self, options: Any) -> None:
        self.scores = ScoreKind(options.get("kind", "softmax"))
        self._sure = options["sure"] / options["temperature"] ** options.get("power", 1)

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(ask, group=0, pixels=1)

    def run(self, batch: Sequence[Prepared]) -> list[Any]:
        return [self._answer(prepared.payload) for prepared in batch]

    def close(self) -> None:
        """It holds nothing."""

    def _answer(self, ask: Ask) -> tuple[Label | Grounding | TextRegion, ...]:
        grey = ask.pictures[0].mean(axis=2)
        if ask.capability is Capability.CLASSIFY:
            score = self._score(grey.mean())
            return (Label(name="bright", score=score), Label(name="dark", score=1 - score))
        if ask.capability is Capability.READ:
            corners = ((0, 0), (1, 0), (1, 1), (0, 1))
            return (TextRegion(quad=Polygon(points=corners), text="EXIT", confidence=self._score(grey.mean())),)
        rows, columns = np.nonzero(grey == grey.max())
        box = Box(x0=columns.min(), y0=rows.min(), x1=columns.max() + 1, y1=rows.max() + 1)
        score, least = self._score(grey.max()), ask.arguments["min_score"]
        return tuple(
            Grounding(phrase=phrase, score=score, box=box) for phrase in ask.arguments["phrases"] if score >= least
        )

    def _score(self, grey: float) -> float:
        return 1 / (1 + math.exp(-self._sure * (grey / 127.5 - 1)))
