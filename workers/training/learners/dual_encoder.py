"""What trains the family `dual_encoder`: pictures and the words about them are drawn together, others are kept apart.

Learns from labels, each put into one of the templates that the family compares with, or from captions as they are. The
loss is the architecture's own: the softmax of CLIP and ALIGN with the temperature that they learn, or SigLIP's sigmoid.
Examples of one label within a batch are never held against each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import log_softmax, logsigmoid, normalize

from domain.errors import InvalidRequest
from domain.images import ImageLimits
from domain.vision import Capability
from workers.judging import Look
from workers.labelled import LabelledPicture, LabelledText
from workers.models import dual_encoder
from workers.models.family import Ask, Prepared, Told
from workers.training import starting
from workers.training.drawing import alike, shuffled, some
from workers.training.learners.learner import Options, checked, of
from workers.training.loop import Step
from workers.training.measures.labels import accuracy
from workers.training.sets.lines import Lines
from workers.training.sets.splitting import Parts

BATCH = 32
"""Pictures per step: each is told apart from all others of its batch, so that more teach more."""
STEEPEST = 100.0
"""What cosines are multiplied by at most (Radford et al. 2021, section 2.5)."""


@dataclass(frozen=True)
class Pair:
    """A picture, and its label or caption."""

    image: Path
    words: str


@dataclass(frozen=True, eq=False)
class Batch:
    """B pictures' tensors, the T distinct texts about them, and which of those are about which (B × T)."""

    pictures: dict[str, torch.Tensor]
    texts: dict[str, torch.Tensor]
    about: torch.Tensor


def learner(parts: Parts[Any], options: Options) -> "DualEncoderLearner":
    """See `learner.Family`: from image and label, or image and text."""
    told, lines = checked(options, starting.Started), of(parts, Lines, "lines of image and label, or image and text")
    train, validation = _pairs(lines.train), _pairs(lines.validation)
    words = {pair.words for pair in train}
    if len(words) < 2:
        raise InvalidRequest(
            f"{parts.train.place} says {words or 'nothing'} of every picture: there is nothing to tell apart"
        )
    if isinstance(lines.train.lines[0], LabelledText):  # a caption is a whole sentence
        told = told.model_copy(update={"row": {"templates": ["{}"], **told.row}})
    spec = starting.row("dual_encoder", options, told, DualEncoderLearner.capabilities)
    model = dual_encoder.load(spec)
    return DualEncoderLearner(model, spec.path, train, validation, options.batch or BATCH, told, options.limits)


def _pairs(lines: Lines) -> list[Pair]:
    kinds = (LabelledPicture, LabelledText)
    if not isinstance(lines.lines[0], kinds):
        raise InvalidRequest(
            f"{lines.place} is a set of {lines.kind.value}; dual_encoder learns from labels or captions"
        )
    return [
        Pair(line.image, line.label if isinstance(line, LabelledPicture) else line.text)
        for line in lines.lines
        if isinstance(line, kinds)
    ]


class DualEncoderLearner:
    """See `learner.FamilyLearner`. What it measures is the share of pictures whose own words are found the nearest."""

    watched = "zero_shot_accuracy"
    rates: Mapping[str, float] = {}
    capabilities = (Capability.CLASSIFY, Capability.EMBED)

    def __init__(
        self,
        model: dual_encoder.DualEncoder,
        start: Path,
        train: Sequence[Pair],
        validation: Sequence[Pair],
        batch: int,
        told: starting.Started,
        limits: ImageLimits,
    ) -> None:
        self.network: Any = model.network.requires_grad_(True)
        self.rate = starting.rate(self.network, 1e-5)
        self.licence, self.served = told.licence, told.row
        self._model, self._start, self._batch = model, start, batch
        self._train, self._measured = train, some(validation)
        self._labels = _compared(model, self._measured, [*train, *validation])
        self._look = Look(limits)

    def batches(self, seed: int) -> Iterator[Batch]:
        """See Learner. Each label is put into a template that is drawn anew each time."""
        rng = np.random.default_rng((seed, 1))
        for pairs in shuffled(self._train, self._batch, seed):
            templates = [
                self._model.templates[index] for index in rng.integers(len(self._model.templates), size=len(pairs))
            ]
            texts = [template.replace("{}", pair.words) for template, pair in zip(templates, pairs, strict=True)]
            meant = dict(zip(texts, (pair.words for pair in pairs), strict=True))
            about = torch.tensor([[pair.words == words for words in meant.values()] for pair in pairs])
            yield Batch(self._pictures(pairs), self._model.tokens(list(meant)), about)

    def loss(self, batch: Batch) -> Step:
        """See Learner."""
        at = self._model.at.device
        pictures = {name: tensor.to(at) for name, tensor in batch.pictures.items()}
        texts = {name: tensor.to(at) for name, tensor in batch.texts.items()}
        seen = normalize(self.network.get_image_features(**pictures).pooler_output, dim=-1)
        read = normalize(self.network.get_text_features(**texts).pooler_output, dim=-1)
        logits = seen @ read.T * self._model.scale().clamp(max=STEEPEST) + self._model.bias()
        loss = (sigmoid_loss if self._model.alone else softmax_loss)(logits, batch.about.to(at))
        return Step(loss, {"contrast": loss}, len(batch.about))

    def measure(self) -> dict[str, float]:
        """See Learner: as the family answers, against as many of the set's words as a call may compare with."""
        self._model.forget()
        labels = {"labels": self._labels}
        asks = (Ask(Capability.CLASSIFY, (self._look(pair.image),), labels) for pair in self._measured)
        found = alike([self._model.prepare(ask) for ask in asks], self._nearest)
        return {self.watched: accuracy(found, [pair.words for pair in self._measured])}

    def save(self, folder: Path) -> None:
        """See FamilyLearner."""
        starting.save(self.network, self._start, folder)

    def _nearest(self, batch: Sequence[Prepared]) -> list[str]:
        answers: list[Any] = self._model.answers(batch)
        return [(answer.value if isinstance(answer, Told) else answer)[0].name for answer in answers]

    def _pictures(self, pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
        asks = [Ask(Capability.EMBED, (self._look(pair.image),)) for pair in pairs]
        alone = [self._model.prepare(ask).payload.inputs for ask in asks]
        return {name: torch.cat([inputs[name] for inputs in alone]) for name in alone[0]}


def softmax_loss(logits: torch.Tensor, about: torch.Tensor) -> torch.Tensor:
    """Return the contrastive loss of logits, B pictures × T texts, both ways (Radford et al. 2021, section 2.3).

    What several texts are `about` (B × T) has several right ones, to equal shares (Yang et al. 2022, equation 3).
    """
    right = about.float()
    of_texts = -(log_softmax(logits, dim=1) * right).sum(dim=1) / right.sum(dim=1)
    of_pictures = -(log_softmax(logits, dim=0) * right).sum(dim=0) / right.sum(dim=0)
    return (of_texts.mean() + of_pictures.mean()) / 2


def sigmoid_loss(logits: torch.Tensor, about: torch.Tensor) -> torch.Tensor:
    """Return the loss of logits, B pictures × T texts, each pair judged by itself (Zhai et al. 2023, equation 1)."""
    return -logsigmoid(logits * (2 * about.float() - 1)).sum() / len(logits)


def _compared(model: dual_encoder.DualEncoder, measured: Sequence[Pair], others: Sequence[Pair]) -> tuple[str, ...]:
    """Return the words that are measured against: those of the measured pictures, and of the others as many as go."""
    words = dict.fromkeys(pair.words for pair in [*measured, *others])
    return tuple(words)[: dual_encoder.MOST_TEXTS // len(model.templates)]
