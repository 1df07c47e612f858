"""A loaded model that is about to answer a set."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import ImageRejected, InvalidRequest, SightlineError
from domain.vision import Capability
from workers.judging import Look
from workers.models.family import Ask, Model, ScoreKind
from workers.registry import ModelSpec
from workers.training.evaluating.answering import Limits, answers
from workers.training.evaluating.judged import Advance

TELLING = frozenset({ScoreKind.SOFTMAX, ScoreKind.SIGMOID, ScoreKind.SEQUENCE, ScoreKind.MEAN})
"""Kinds of scores that may be taken for how likely an answer is right."""


@dataclass(frozen=True)
class Examinee:
    """A model, its row, how pictures are read for it, and who is told of each answer."""

    model: Model
    spec: ModelSpec
    look: Look
    advance: Advance = lambda: None

    def asked(self, place: Path, *choices: Capability) -> Capability:
        """Return the first of these that the model can. Raises InvalidRequest where it can none."""
        for one in choices:
            if one in self.spec.capabilities:
                return one
        raise InvalidRequest(
            f"{place} asks to {' or '.join(choices)}, and {self.spec.name} can {', '.join(self.spec.capabilities)}"
        )

    def ask(self, capability: Capability, picture: Path, **arguments: Any) -> Ask | ImageRejected:  # noqa: ANN401
        """Return a call about a picture, or why it cannot be read."""
        try:
            return Ask(capability, (self.look(picture),), arguments)
        except ImageRejected as error:
            return error

    def answers(self, asks: Iterable[Ask | SightlineError]) -> Iterator[Any]:
        """Yield the answer to each call, in order; None for one on which the model failed, or that is its error."""
        return answers(self.model, asks, Limits.of(self.spec), self.advance)

    @property
    def scores_tell(self) -> bool:
        """Whether its scores may be compared with how often it is right."""
        return self.model.scores in TELLING
