"""Letting a model judge a labelled set: what it scored, and what of that was right. Fitting is done elsewhere."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from domain.errors import InvalidRequest, ModelError, RegistrationFailed
from domain.geometry import Box
from domain.images import ImageLimits
from domain.vision import Capability, Detection, Grounding, Label
from workers.imaging.decode import decode
from workers.labelled import LabelledPicture, LabelledQuestion, LabelledText
from workers.modelling.temperature import tempered
from workers.models.family import Ask, Model, Pixels, ScoreKind, Told
from workers.training.coco import Dataset
from workers.training.evaluating.shown import shown
from workers.training.measures.matching import NONE, Overlaps, box_overlaps, crowded, of_one_label
from workers.training.measures.matching import matched as matching

MATCHED = 0.5
"""A box is right where it overlaps one of its class by so much (IoU), as in PASCAL VOC and COCO's AP50."""
WEAKEST = 0.05
"""Boxes below this score, at the temperature 1, are not judged: there is no end of them, and nobody asks for them."""

Labelled = tuple[str, Box]
"""An object's class, and where it is."""


@dataclass(frozen=True)
class Judgement:
    """The scores of one answer and which of them are the right one's; `picture` is what it was about."""

    picture: str
    scores: tuple[float, ...]
    right: tuple[bool, ...]


class Asked(Protocol):
    """A labelled set, as something to be asked of a model."""

    @property
    def capability(self) -> Capability:
        """What it asks."""

    @property
    def pictures(self) -> Sequence[str]:
        """The pictures that it asks about, by their paths."""

    def shares(self, model: Model) -> bool:
        """Say whether scores share out 1 within an answer (softmax), or each stands by itself (sigmoid)."""

    def judged(self, model: Model, temperature: float, look: "Look") -> Iterator[Judgement]:
        """Ask the model, which runs at this temperature, everything."""


class Look:
    """Reads pictures within limits."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits

    def __call__(self, path: Path) -> Pixels:
        """Return a picture. Raises InvalidRequest where it is not there, ImageRejected where it cannot be read."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InvalidRequest(
                f"{path} cannot be read: {error.strerror}; pictures lie beside their labels"
            ) from error
        return decode(data, self._limits, path.name).pixels


@dataclass(frozen=True)
class Labels:
    """Pictures to classify, each against the labels of all."""

    source: Path
    lines: Sequence[LabelledPicture]
    capability: Capability = Capability.CLASSIFY

    @property
    def pictures(self) -> list[str]:
        """See Asked."""
        return [str(line.image) for line in self.lines]

    def shares(self, model: Model) -> bool:
        """See Asked."""
        return _shares(model.scores, model, (ScoreKind.SOFTMAX, ScoreKind.SIGMOID))

    def judged(self, model: Model, temperature: float, look: Look) -> Iterator[Judgement]:
        """See Asked. Raises InvalidRequest where all labels are one."""
        labels = tuple(sorted({line.label for line in self.lines}))
        if len(labels) < 2:
            raise InvalidRequest(f"{self.source}: every label is {labels[0]!r}; add pictures of another")
        for line in self.lines:
            found = _value(model, Ask(self.capability, (look(line.image),), {"labels": labels}))
            yield _among(str(line.image), found, line.label)


@dataclass(frozen=True)
class Questions:
    """Questions with options."""

    source: Path
    lines: Sequence[LabelledQuestion]
    capability: Capability = Capability.ASK

    @property
    def pictures(self) -> list[str]:
        """See Asked."""
        return [str(line.image) for line in self.lines]

    def shares(self, model: Model) -> bool:
        """See Asked. Options share out 1, whatever the model's free answers do."""
        return True

    def judged(self, model: Model, temperature: float, look: Look) -> Iterator[Judgement]:
        """See Asked. Raises InvalidRequest on an option that the model does not know, or where it scores none."""
        for line in self.lines:
            told = {"question": line.question, "options": line.options}
            try:
                answer = _value(model, Ask(self.capability, (look(line.image),), told))
            except ModelError as error:
                raise InvalidRequest(
                    f"{self.source}: {line.question!r} of {line.image.name}: {error.message}"
                ) from error
            if not answer.options:
                raise InvalidRequest(f"{self.source}: the model chose {answer.text!r} and scored no option")
            yield _among(str(line.image), answer.options, line.answer)


@dataclass(frozen=True)
class Texts:
    """Pictures of a line of text each. What is read as no line, or as several, is not judged."""

    source: Path
    lines: Sequence[LabelledText]
    capability: Capability = Capability.READ

    @property
    def pictures(self) -> list[str]:
        """See Asked."""
        return [str(line.image) for line in self.lines]

    def shares(self, model: Model) -> bool:
        """See Asked. A text is right or wrong by itself."""
        _shares(model.scores, model, (ScoreKind.MEAN, ScoreKind.SEQUENCE))
        return False

    def judged(self, model: Model, temperature: float, look: Look) -> Iterator[Judgement]:
        """See Asked. Blanks count as one each."""
        for line in self.lines:
            found = _value(model, Ask(self.capability, (look(line.image),)))
            if len(found) == 1:
                right = found[0].text.split() == line.text.split()
                yield Judgement(str(line.image), (found[0].confidence,), (right,))


@dataclass(frozen=True)
class Boxes:
    """Objects to detect, or to ground by the names of their classes.

    A box is right where it matches an object of its class that no better box matched (IoU of 0.5 or more).
    """

    source: Path
    dataset: Dataset
    capability: Capability

    @property
    def pictures(self) -> list[str]:
        """See Asked."""
        return [str(self.dataset.path(image)) for image in self.dataset.content.images]

    def shares(self, model: Model) -> bool:
        """See Asked. A box is right or wrong by itself, even where its classes share out 1."""
        _shares(model.scores, model, (ScoreKind.SIGMOID, ScoreKind.SOFTMAX))
        return False

    def judged(self, model: Model, temperature: float, look: Look) -> Iterator[Judgement]:
        """See Asked. Raises InvalidRequest on a class that the model does not know."""
        classes = self.dataset.classes
        told: dict[str, Any] = {"min_score": tempered(WEAKEST, temperature)}
        if self.capability is Capability.GROUND:
            told["phrases"] = classes
        elif unknown := sorted(self.dataset.names() - set(model.classes)):
            raise InvalidRequest(
                f"{self.source}: the model knows no {', '.join(unknown)}; take them out of the set, or rename them to "
                f"what it knows: {', '.join(model.classes)}"
            )
        names = {item.id: item.name for item in self.dataset.content.categories}
        for image, objects in self.dataset.pairs():
            try:
                found = _value(model, Ask(self.capability, shown(model, look, self.dataset, image), told))
            except RegistrationFailed:
                continue  # nothing is found, right or wrong, where there is nothing to compare with
            boxes = [(_name(one), one.score, one.box) for one in found if _name(one) in classes]
            singles, crowds = (
                [(names[item.category_id], item.box) for item in objects if item.iscrowd is crowd]
                for crowd in (False, True)
            )
            for score, right in matched(boxes, singles, crowds):
                yield Judgement(str(self.dataset.path(image)), (score,), (right,))


def matched(
    found: Sequence[tuple[str, float, Box]], truth: Sequence[Labelled], crowds: Sequence[Labelled] = ()
) -> Iterator[tuple[float, bool]]:
    """Yield for each found box (class, score, box), best first, its score and whether it is right.

    It takes the object of its class, of those still free, that it overlaps most; from an IoU of 0.5 on. One that takes
    none and lies mostly in a crowd of its class is neither.
    """
    ordered = sorted(found, key=lambda one: -one[1])
    scores = [score for _, score, _ in ordered]
    places = matching(scores, _alike(ordered, truth), MATCHED)
    left_out = crowded(places, _alike(ordered, crowds, crowds=True))
    for score, place, out in zip(scores, places, left_out, strict=True):
        if not out:
            yield score, place != NONE


def _alike(found: Sequence[tuple[str, float, Box]], truth: Sequence[Labelled], *, crowds: bool = False) -> Overlaps:
    overlaps = box_overlaps([box for _, _, box in found], [box for _, box in truth], crowds=crowds)
    return of_one_label(overlaps, [name for name, _, _ in found], [label for label, _ in truth])


def _value(model: Model, ask: Ask) -> Any:  # noqa: ANN401  (a domain value)
    answer = model.run([model.prepare(ask)])[0]
    return answer.value if isinstance(answer, Told) else answer


def _among(picture: str, found: Sequence[Label], right: str) -> Judgement:
    return Judgement(picture, tuple(one.score for one in found), tuple(one.name == right for one in found))


def _shares(kind: ScoreKind, model: Model, known: Sequence[ScoreKind]) -> bool:
    if kind not in known:
        raise InvalidRequest(
            f"the scores of this {type(model).__name__} are {kind.value!r}; a temperature is fitted to "
            f"{' or '.join(one.value for one in known)} scores alone"
        )
    return kind is ScoreKind.SOFTMAX


def _name(one: Detection | Grounding) -> str:
    return one.label if isinstance(one, Detection) else one.phrase
