"""What trains the family `vqa_head`: questions about pictures with answers of a few words.

ViLT, VisualBERT and LXMERT choose among answers: where the head does not know all of the set's, it gets an output for
each of them, and keeps what it learned of those it knew. BLIP writes. As when they are served, no question and no
picture is padded for another's sake: a batch goes through the network in parts whose tensors have one shape.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, log_softmax
from torch.nn.utils.rnn import pad_sequence

from domain.errors import InvalidRequest
from domain.vision import Capability
from workers.labelled import LabelledQuestion
from workers.modelling.answer_heads import Head, plain
from workers.modelling.answer_writing import Blip
from workers.modelling.asking import Asked
from workers.models import vqa_head
from workers.models.family import Prepared, ScoreKind
from workers.training import starting
from workers.training.drawing import WRITTEN, alike, shuffled, some
from workers.training.learners.learner import Options, checked, of
from workers.training.loop import Step
from workers.training.questions import STANDING, Question, measures, prepared, questions, texts
from workers.training.sets.lines import Lines
from workers.training.sets.splitting import Parts

BATCH = 16
IGNORED = -100

Batch = Sequence[tuple[Prepared, str]]
"""Calls, and what is right."""


def learner(parts: Parts[Any], options: Options) -> "VqaHeadLearner":
    """See `learner.Family`: from lines of image, question and answer."""
    told = checked(options, starting.Started)
    lines = of(parts, Lines, "lines of image, question and answer")
    kinds, limits = (LabelledQuestion,), options.limits
    train, validation = (questions(each, kinds, "vqa_head", limits) for each in (lines.train, lines.validation))
    spec = starting.row("vqa_head", options, told, VqaHeadLearner.capabilities)
    return VqaHeadLearner(vqa_head.load(spec), spec.path, train, validation, options.batch or BATCH, told)


class VqaHeadLearner:
    """See `learner.FamilyLearner`. What it watches is exact match; between equal ones, the loss of right answers."""

    watched = STANDING
    rates: Mapping[str, float] = {}
    capabilities = (Capability.ASK,)

    def __init__(
        self,
        model: Asked,
        start: Path,
        train: Sequence[Question],
        validation: Sequence[Question],
        batch: int,
        told: starting.Started,
    ) -> None:
        self._model, self._start, self._batch = model, start, batch
        self.licence, self.served = told.licence, dict(told.row)
        if _taught(model, train):
            self.served.pop("answers", None)  # they are named in the configuration now
        self._train = _learnable(model, train)
        self.network: Any = model.network.requires_grad_(True)
        self.rate = starting.rate(self.network, 5e-5)
        self._measured = [_closed(model, question) for question in some(validation, WRITTEN)]

    def batches(self, seed: int) -> Iterator[Batch]:
        """See Learner."""
        for asked in shuffled(self._train, self._batch, seed):
            yield list(zip(prepared(self._model, asked), (each.answer for each in asked), strict=True))

    def loss(self, batch: Batch) -> Step:
        """See Learner."""
        loss = torch.stack(self._losses(batch)).mean()
        return Step(loss, {"answer": loss}, len(batch))

    def measure(self) -> dict[str, float]:
        """See Learner."""
        calls = prepared(self._model, self._measured)
        said = texts(alike(calls, self._model.answers))
        right = [(call, question.answer) for call, question in zip(calls, self._measured, strict=True)]
        loss = float(torch.stack(self._losses(right)).mean())
        return measures(said, self._measured, loss)

    def save(self, folder: Path) -> None:
        """See FamilyLearner."""
        starting.save(self.network, self._start, folder)

    def _losses(self, batch: Batch) -> list[torch.Tensor]:
        """Return the loss of each call's right answer, in their order."""
        right = {id(call): answer for call, answer in batch}

        def of_one_shape(calls: Sequence[Prepared]) -> list[torch.Tensor]:
            model, answers = self._model, [right[id(call)] for call in calls]
            inputs = model.stacked(calls)
            return list(
                _chosen(model, inputs, answers) if isinstance(model, Head) else _written(model, inputs, answers)
            )

        return alike([call for call, _ in batch], of_one_shape)


def _chosen(model: Head, inputs: dict[str, torch.Tensor], right: Sequence[str]) -> torch.Tensor:
    """Return the loss of each of B right answers: as of the head's scores, of each answer alone or of their shares.

    An answer that the head does not know is none of its answers. The sum over the answers of binary cross entropies is
    what ViLT was trained with (Kim et al. 2021), and LXMERT.
    """
    logits = model.logits(inputs)
    wanted = torch.zeros_like(logits)
    for row, place in enumerate(map(model.place, right)):
        if place is not None:
            wanted[row, place] = 1
    if model.scores == ScoreKind.SIGMOID:
        return binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(dim=1)
    return -(log_softmax(logits, dim=1) * wanted).sum(dim=1)


def _written(model: Asked, inputs: dict[str, torch.Tensor], right: Sequence[str]) -> torch.Tensor:
    """Return the loss of each of B right answers: the mean over the tokens that the decoder is to write."""
    assert isinstance(model, Blip)
    rows = [torch.tensor(model.written(answer), device=model.at.device) for answer in right]
    ids = pad_sequence(rows, batch_first=True, padding_value=0)
    labels = pad_sequence([row[1:] for row in rows], batch_first=True, padding_value=IGNORED)
    states = model.states(inputs)
    seen = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
    decoder = model.network.text_decoder
    told = decoder(input_ids=ids[:, :-1], encoder_hidden_states=states, encoder_attention_mask=seen)
    losses = cross_entropy(told.logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    return losses.sum(dim=1) / (labels != IGNORED).sum(dim=1)


def _taught(model: Asked, train: Sequence[Question]) -> bool:
    """Give a head an output for each answer where it lacks some; say whether it did."""
    answers = {plain(question.answer): question.answer for question in train}
    if not isinstance(model, Head) or all(map(model.can_say, answers)):
        return False
    model.relearn(sorted(answers.values()))
    return True


def _learnable(model: Asked, train: Sequence[Question]) -> list[Question]:
    """Return what a model can learn of, without options.

    Raises InvalidRequest where that is nothing: BLIP cannot write answers that are longer than its places.
    """
    learnt = [replace(question, arguments=_free(question)) for question in train if model.can_say(question.answer)]
    if not learnt:
        raise InvalidRequest("every answer is longer than this model can write")
    return learnt


def _free(question: Question) -> dict[str, Any]:
    return {"question": question.arguments["question"]}


def _closed(model: Asked, question: Question) -> Question:
    """Return a question with its options where the model can choose among them, and else without."""
    options = question.arguments.get("options", ())
    return question if all(map(model.can_say, options)) else replace(question, arguments=_free(question))
