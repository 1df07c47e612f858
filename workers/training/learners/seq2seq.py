"""What trains the family `seq2seq`: texts and their translations, in as many directions as the set has.

Marian, M2M100, NLLB and mBART, as the family serves them: each with its signs of languages. A pair that is longer than
the network has places, in either language, is not learnt from: serving cuts a text into pieces, and nobody knows which
piece of the translation is whose.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from domain.errors import InvalidRequest, SightlineError
from domain.vision import Capability
from workers.labelled import LabelledTranslation
from workers.models import seq2seq
from workers.models.family import Ask, Prepared, Told
from workers.training import starting
from workers.training.drawing import WRITTEN, alike, shuffled, some
from workers.training.learners.learner import Options, checked, of
from workers.training.loop import Step
from workers.training.measures.translations import chrf
from workers.training.sets.lines import Lines
from workers.training.sets.splitting import Parts

BATCH = 32
SMOOTHING = 0.1
"""The share of certainty that no token gets (Vaswani et al. 2017, section 5.4)."""
IGNORED = -100


@dataclass(frozen=True, eq=False)
class Batch:
    """B texts' ids, each B × the longest, where they are no padding, and B translations' ids (padding: -100)."""

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor


def learner(parts: Parts[Any], options: Options) -> "Seq2SeqLearner":
    """See `learner.Family`: from lines of source and target."""
    told = checked(options, starting.Started)
    lines = of(parts, Lines, "lines of source and target, with the languages from and to")
    train, validation = _pairs(lines.train), _pairs(lines.validation)
    spec = starting.row("seq2seq", options, told, Seq2SeqLearner.capabilities)
    return Seq2SeqLearner(seq2seq.load(spec), spec.path, train, validation, options.batch or BATCH, told)


def _pairs(lines: Lines) -> list[LabelledTranslation]:
    pairs = [line for line in lines.lines if isinstance(line, LabelledTranslation)]
    if not pairs:
        raise InvalidRequest(f"{lines.place} is a set of {lines.kind.value}; seq2seq learns from translations")
    return pairs


class Seq2SeqLearner:
    """See `learner.FamilyLearner`. What it measures is the chrF of translations as the family gives them."""

    watched = "chrf"
    rates: Mapping[str, float] = {}
    capabilities = (Capability.TRANSLATE,)

    def __init__(
        self,
        model: seq2seq.Translator,
        start: Path,
        train: Sequence[LabelledTranslation],
        validation: Sequence[LabelledTranslation],
        batch: int,
        told: starting.Started,
    ) -> None:
        """Raise InvalidRequest where the model does not translate a pair of the set, or every pair is too long."""
        self.network: Any = model.network.requires_grad_(True)
        self.rate = starting.rate(self.network, 5e-5)
        self.licence, self.served = told.licence, told.row
        self._model, self._start, self._batch = model, start, batch
        try:
            for source, target in sorted({(pair.from_, pair.to) for pair in [*train, *validation]}):
                model.languages.check(source, target)
        except SightlineError as error:
            raise InvalidRequest(f"{error.message}; `pairs` and `codes` of the row say what it can") from error
        self._train = [ids for ids in map(self._ids, train) if max(map(len, ids)) <= model.positions]
        if not self._train:
            raise InvalidRequest(f"every text or translation is longer than the {model.positions} places of the model")
        self._measured = some(validation, WRITTEN)

    def batches(self, seed: int) -> Iterator[Batch]:
        """See Learner."""
        pad = self.network.config.pad_token_id
        for pairs in shuffled(self._train, self._batch, seed):
            texts, translations = ([torch.tensor(ids) for ids in side] for side in zip(*pairs, strict=True))
            mask = pad_sequence([torch.ones_like(ids) for ids in texts], batch_first=True)
            ids = pad_sequence(texts, batch_first=True, padding_value=pad)
            yield Batch(ids, mask, pad_sequence(translations, batch_first=True, padding_value=IGNORED))

    def loss(self, batch: Batch) -> Step:
        """See Learner."""
        at = self._model.at.device
        labels = batch.labels.to(at)
        told = self.network(input_ids=batch.ids.to(at), attention_mask=batch.mask.to(at), labels=labels)
        flat = told.logits.flatten(0, 1), labels.flatten()
        loss = cross_entropy(*flat, ignore_index=IGNORED, label_smoothing=SMOOTHING)
        return Step(loss, {"cross_entropy": loss}, len(labels))

    def measure(self) -> dict[str, float]:
        """See Learner."""
        asks = [
            Ask(Capability.TRANSLATE, (), {"text": pair.source, "source": pair.from_, "target": pair.to})
            for pair in self._measured
        ]
        told = alike([self._model.prepare(ask) for ask in asks], self._answered)
        return {self.watched: chrf(told, [pair.target for pair in self._measured])}

    def save(self, folder: Path) -> None:
        """See FamilyLearner."""
        starting.save(self.network, self._start, folder)

    def _answered(self, batch: Sequence[Prepared]) -> list[str]:
        answers = self._model.answers(batch)
        return [(answer.value if isinstance(answer, Told) else answer).text or "" for answer in answers]

    def _ids(self, pair: LabelledTranslation) -> tuple[list[int], list[int]]:
        languages = self._model.languages
        return languages.encode(pair.source, pair.from_, pair.to), languages.translation(pair.target, pair.to)
