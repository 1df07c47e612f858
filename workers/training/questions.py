"""Questions about pictures with their right answers: what `chat_vlm` and `vqa_head` learn from and are measured on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from domain.errors import InvalidRequest
from domain.images import ImageLimits
from domain.vision import Answer, Capability
from workers.judging import Look
from workers.labelled import LabelledDraft, LabelledLine, LabelledQuestion, LabelledText
from workers.models.family import Ask, Prepared, Told
from workers.training.measures.answers import anls, exact_match
from workers.training.sets.lines import Lines

TIE = 1e-3
"""What the likelihood of right answers weighs beside their share: it orders networks that answer as many right."""
STANDING = "standing"


@dataclass(frozen=True)
class Question:
    """A call of a model, but for its picture, and what is right."""

    image: Path
    capability: Capability
    arguments: Mapping[str, Any]
    answer: str
    limits: ImageLimits = field(default_factory=ImageLimits)

    def ask(self) -> Ask:
        """Return the call. Raises ImageRejected and InvalidRequest where its picture cannot be read."""
        return Ask(self.capability, (Look(self.limits)(self.image),), self.arguments)


def questions(lines: Lines, kinds: tuple[type[LabelledLine], ...], family: str, limits: ImageLimits) -> list[Question]:
    """Return the questions of a set of lines. Raises InvalidRequest where its lines are of another kind."""
    if not isinstance(lines.lines[0], kinds):
        raise InvalidRequest(f"{lines.place} is a set of {lines.kind.value}, which {family} does not learn from")
    return [replace(_question(line), limits=limits) for line in lines.lines]


def _question(line: LabelledLine) -> Question:
    match line:
        case LabelledQuestion(options=()):
            return Question(line.image, Capability.ASK, {"question": line.question}, line.answer)
        case LabelledQuestion():
            closed = {"question": line.question, "options": line.options}
            return Question(line.image, Capability.ASK, closed, line.answer)
        case LabelledDraft():
            return Question(line.image, Capability.DRAFT, {"instruction": line.question}, line.answer)
        case LabelledText():
            return Question(line.image, Capability.CAPTION, {}, line.text)
    raise AssertionError(f"no question: {line}")


def texts(answers: Sequence[Any]) -> list[str]:
    """Return what a model's answers say."""
    bare = [answer.value if isinstance(answer, Told) else answer for answer in answers]
    return [answer.text if isinstance(answer, Answer) else str(answer) for answer in bare]


def measures(said: Sequence[str], asked: Sequence[Question], loss: float) -> dict[str, float]:
    """Return how right answers are, the loss of the right ones, and both in one number, which is watched."""
    right = [question.answer for question in asked]
    exact = exact_match(said, right)
    likely = math.exp(-loss) if math.isfinite(loss) else 0.0
    return {"exact_match": exact, "anls": anls(said, right), "loss": loss, STANDING: exact + TIE * likely}


def prepared(model: Any, asked: Sequence[Question]) -> list[Prepared]:  # noqa: ANN401
    """Return the calls, ready for the network."""
    return [model.prepare(question.ask()) for question in asked]
