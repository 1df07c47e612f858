"""A model that knows a picture by its grey level and answers as the test told it to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from domain.errors import ModelError
from domain.images import ImageLimits
from domain.vision import Capability
from workers.judging import Look
from workers.models.family import Ask, Prepared, ScoreKind
from workers.registry import ModelSpec
from workers.training.evaluating.examinee import Examinee

SIDE = 40


class Scripted:
    """`answer` is given the call's picture number (its grey level) and the call; a ModelError of it is raised."""

    preprocessing = "none"
    device = "cpu"
    dtype = "none"

    def __init__(self, answer: Callable[[int, Ask], Any], kind: ScoreKind, classes: tuple[str, ...]) -> None:
        self.answer, self.scores, self.classes = answer, kind, classes
        self.batches: list[int] = []

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(ask, group=0, pixels=1)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        self.batches.append(len(batch))
        return [self._answered(prepared.payload) for prepared in batch]

    def close(self) -> None:
        """Hold nothing."""

    def _answered(self, ask: Ask) -> Any:
        number = int(ask.pictures[0][0, 0, 0]) if ask.pictures else -1
        answer = self.answer(number, ask)
        if isinstance(answer, ModelError):
            raise answer
        return answer


def examinee(
    *capabilities: Capability,
    answer: Callable[[int, Ask], Any],
    kind: ScoreKind = ScoreKind.SOFTMAX,
    classes: tuple[str, ...] = (),
) -> Examinee:
    """Return one that answers so."""
    spec = ModelSpec(
        name="scripted", family="none", capabilities=capabilities, source="none", revision="none", licence="none"
    )
    return Examinee(Scripted(answer, kind, classes), spec, Look(ImageLimits()))


def pictures(folder: Path, count: int) -> None:
    """Write `0.png` and so on, each with its own grey level."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((SIDE, SIDE, 3), number, dtype=np.uint8))
