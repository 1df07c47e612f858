"""What trains the family `chat_vlm`: what is to be answered to a question about a picture, token by token.

The prompt is the one that the family serves, by the checkpoint's own processor and chat template, and the answer's
tokens stand after it as the family would write them, with the sign of the end; only those are learnt. Answers to
questions, drafts and captions are learnt so. A small network learns with all its weights, a large one by low-rank
adapters (LoRA, Hu et al. 2022), which are merged into it when it is saved.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from pydantic import Field
from torch.nn.functional import cross_entropy

from domain.errors import ModelUnavailable
from domain.vision import Capability
from workers.labelled import LabelledDraft, LabelledQuestion, LabelledText
from workers.modelling.prompts import by_token
from workers.models import chat_vlm
from workers.models.family import Ask
from workers.training import starting
from workers.training.drawing import WRITTEN, alike, shuffled, some
from workers.training.learners.learner import Options, checked, of
from workers.training.loop import Step
from workers.training.questions import STANDING, Question, measures, prepared, questions, texts
from workers.training.sets.lines import Lines
from workers.training.sets.splitting import Parts

BATCH = 8
SMALL = 500_000_000
"""A network of so many weights or more learns by adapters."""
KINDS = (LabelledQuestion, LabelledDraft, LabelledText)
SAME = 0.02
"""How far what is learnt may be from what is served, as a share of two answers."""


class Adapting(starting.Started):
    """The options of a training of a chat model."""

    lora: Literal["auto", "yes", "no"] = "auto"
    """whether it learns by adapters; `auto`: where it is large"""
    rank: int = Field(default=16, ge=1)
    """of the adapters"""


@dataclass(frozen=True, eq=False)
class Learnt:
    """A prompt with its answer, as tensors of a batch of one; the answer's tokens begin at `start`."""

    inputs: dict[str, torch.Tensor]
    start: int

    @property
    def length(self) -> int:
        """How many tokens it has."""
        return int(self.inputs["input_ids"].shape[1])

    @property
    def shape(self) -> object:
        """What those have in common that go through the network together: all shapes but the number of tokens."""
        counted = set(by_token(self.inputs))
        return tuple((name, value.shape[2 if name in counted else 1 :]) for name, value in sorted(self.inputs.items()))


def learner(parts: Parts[Any], options: Options) -> "ChatVlmLearner":
    """See `learner.Family`: from lines of image, question and answer (with findings: drafts), or of image and text."""
    told = checked(options, Adapting)
    lines = of(parts, Lines, "lines of image, question and answer, or of image and text")
    train, validation = (questions(each, KINDS, "chat_vlm", options.limits) for each in (lines.train, lines.validation))
    abilities = (Capability.ASK, Capability.CAPTION, Capability.DRAFT)
    can = (*abilities, Capability.GROUND) if told.row.get("boxes") else abilities
    spec = starting.row("chat_vlm", options, told, can)
    return ChatVlmLearner(chat_vlm.load(spec), spec.path, train, validation, options.batch or BATCH, told)


class ChatVlmLearner:
    """See `learner.FamilyLearner`. What it watches is exact match; between equal ones, the loss of right answers."""

    watched = STANDING
    rates: Mapping[str, float] = {}

    def __init__(
        self,
        model: chat_vlm.ChatVlm,
        start: Path,
        train: Sequence[Question],
        validation: Sequence[Question],
        batch: int,
        told: Adapting,
    ) -> None:
        """Raise ModelUnavailable where the network does not read answers as it writes them: it would learn others."""
        self._model, self._start, self._batch = model, start, batch
        self._train, self._measured = train, some(validation, WRITTEN)
        self.licence, self.served, self.capabilities = told.licence, told.row, model.spec.capabilities
        self.network: Any
        self._short = "logits_to_keep" in signature(model.network.forward).parameters
        self._check(train[0], float(told.row.get("temperature", 1)))
        self._adapted: PeftModel | None = None
        weights = sum(each.numel() for each in model.network.parameters())
        if told.lora == "yes" or (told.lora == "auto" and weights >= SMALL):
            self._adapted = _adapted(model.network, told.rank)
            self.network, self.rate = Adapters(model.network), 2e-4
        else:
            self.network = model.network.requires_grad_(True)
            self.rate = starting.rate(self.network, 2e-5)

    def batches(self, seed: int) -> Iterator[list[Learnt]]:
        """See Learner."""
        for asked in shuffled(self._train, self._batch, seed):
            yield [self._learnt(question.ask(), question.answer) for question in asked]

    def loss(self, batch: Sequence[Learnt]) -> Step:
        """See Learner: the mean over the answers' tokens."""
        losses = torch.cat(self._losses(batch))
        loss = losses.mean()
        return Step(loss, {"answer": loss}, len(batch))

    def measure(self) -> dict[str, float]:
        """See Learner: answers are written as when they are served."""
        said = texts(alike(prepared(self._model, self._measured), self._model.answers))
        right = [self._learnt(question.ask(), question.answer) for question in self._measured]
        several = (right[start : start + self._batch] for start in range(0, len(right), self._batch))
        loss = torch.cat([losses for batch in several for losses in self._losses(batch)]).mean()
        return measures(said, self._measured, float(loss))

    def save(self, folder: Path) -> None:
        """See FamilyLearner. Adapters are merged into the network, which learns no more after that."""
        if self._adapted is not None:
            self._adapted.merge_and_unload()
            self._adapted = None
        starting.save(self._model.network, self._start, folder)

    def _learnt(self, ask: Ask, answer: str) -> Learnt:
        return Learnt(*self._model.answered(ask, answer))

    def _losses(self, batch: Sequence[Learnt]) -> list[torch.Tensor]:
        """Return the losses of each answer's tokens, in the order of the answers."""
        groups: dict[object, list[int]] = {}
        for index, one in enumerate(batch):
            groups.setdefault(one.shape, []).append(index)
        found: dict[int, torch.Tensor] = {}
        for places in groups.values():
            found |= zip(places, self._together([batch[place] for place in places]), strict=True)
        return [found[index] for index in range(len(batch))]

    def _together(self, batch: Sequence[Learnt]) -> list[torch.Tensor]:
        """Return the losses of each answer's tokens, in one pass; shorter rows are padded behind their ends."""
        most = max(one.length for one in batch)
        kept = most - min(one.start for one in batch) + 1
        more = {"logits_to_keep": kept} if self._short else {}
        logits = self._model.network(**self._stacked(batch, most), use_cache=False, **more).logits.float()[:, -kept:]
        first = most - kept
        return [
            cross_entropy(
                row[one.start - 1 - first : one.length - 1 - first],
                one.inputs["input_ids"][0, one.start :].to(row.device),
                reduction="none",
            )
            for row, one in zip(logits, batch, strict=True)
        ]

    def _stacked(self, batch: Sequence[Learnt], most: int) -> dict[str, torch.Tensor]:
        """Return the tensors of all, one below the other, each as many tokens long as `most`.

        What stands behind an answer is looked at by nothing before it, nor is it asked what follows.
        """
        at, told = self._model.at, {}
        counted = set(by_token(batch[0].inputs))
        for name in batch[0].inputs:
            rows = [one.inputs[name] for one in batch]
            if name in counted:
                rows = [_lengthened(row, most - row.shape[1], seen=name != "attention_mask") for row in rows]
            stacked = torch.cat(rows).to(at.device)
            told[name] = stacked.to(at.dtype) if stacked.is_floating_point() else stacked
        return told

    def _check(self, question: Question, temperature: float) -> None:
        """Raise ModelUnavailable unless two answers are as likely to what is learnt as to what is served."""
        options = ("yes", "no")
        ask = Ask(Capability.ASK, question.ask().pictures, {"question": "Is it?", "options": options})
        with torch.inference_mode():
            (told,) = self._model.answers([self._model.prepare(ask)])
            learnt = [self._losses([self._learnt(ask, option)])[0][:-1].sum() for option in options]
        shares = dict(zip(options, torch.softmax(-torch.stack(learnt) / temperature, dim=0).tolist(), strict=True))
        served = {label.name: label.score for label in told.value.options}
        if any(abs(shares[name] - share) > SAME for name, share in served.items()):
            raise ModelUnavailable(
                f"a {type(self._model.network).__name__} does not read an answer as it writes it ({shares}, "
                f"{served}), so that it cannot be trained here"
            )


def _adapted(network: Any, rank: int) -> PeftModel:  # noqa: ANN401  (transformers has no types)
    """Put adapters into all linear layers of a network, in place, but for the one that gives the tokens' logits."""
    with warnings.catch_warnings():
        # peft asks transformers by a name that is to go.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        return get_peft_model(network, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


class Adapters(torch.nn.Module):
    """The weights of a network's adapters alone: what is averaged, kept and gone on from is no more than them.

    Its mode is the whole network's.
    """

    def __init__(self, whole: torch.nn.Module) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(each for each in whole.parameters() if each.requires_grad)

        def turn(mode: bool) -> None:
            whole.train(mode)

        self._turn: Callable[[bool], None] = turn  # a function: a copy of the adapters copies no network

    def train(self, mode: bool = True) -> "Adapters":
        """Put the whole network into the mode."""
        self._turn(mode)
        return super().train(mode)


def _lengthened(row: torch.Tensor, more: int, *, seen: bool) -> torch.Tensor:
    """Return something said of tokens, 1 × length × …, with its last repeated behind it, or nothing."""
    last = row[:, -1:] if seen else torch.zeros_like(row[:, -1:])
    return torch.cat([row, last.expand(-1, more, *row.shape[2:])], dim=1)
