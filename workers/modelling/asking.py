"""What all models of visual question answering share that do not chat: a picture and a question in, a batch out.

How they answer is in `answer_heads.py` and `answer_writing.py`. No text and no picture is padded for another's sake:
questions of one token count share a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoTokenizer

from domain.errors import ModelError
from domain.vision import Answer, Capability, Label
from workers.modelling.checkpoint import Checkpoint, Place, one_picture, processor
from workers.modelling.options import Tempered
from workers.models.family import Ask, Pixels, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

LONGEST = 8
"""How many times longer than wide a picture may be; others get black borders, or scaling would leave nothing."""


@dataclass(frozen=True, eq=False)
class Call:
    """Tensors of a batch of one, the asked options, and how many of the question's tokens did not fit."""

    inputs: dict[str, torch.Tensor]
    options: tuple[str, ...]
    cut: int


class Asked(Checkpoint):
    """A loaded checkpoint; the architectures say what they see and how they answer."""

    preprocessing = "vqa-head/1"
    scores = ScoreKind.SIGMOID
    schema: type[Tempered] = Tempered
    """what its row may say"""

    def __init__(self, spec: ModelSpec, at: Place, network: Any, path: Path, told: Any) -> None:  # noqa: ANN401
        super().__init__(spec, at, network)
        self._options = told
        self._tokenizer, self._turn = processor(AutoTokenizer, path), Lock()
        self._images = self._of_pictures(path)
        self._longest = int(network.config.get_text_config().max_position_embeddings)
        self._temperature = told.temperature

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess one picture and a question.

        Raises ModelError on anything else, on options it cannot score, and on a schema.
        """
        if ask.capability != Capability.ASK:
            raise ModelError(f"this model answers questions; it cannot {ask.capability}")
        if ask.arguments.get("schema") is not None:
            raise ModelError("this model answers in a few words; it cannot answer by a schema")
        pixels, question = framed(one_picture(ask)), str(ask.arguments["question"])
        options = tuple(dict.fromkeys(str(option) for option in ask.arguments.get("options", ())))
        if not question.strip() or not all(option.strip() for option in options):
            raise ModelError(f"a question and its options need words: {question!r}, {options}")
        self._check_options(options)
        tokens, cut = self._tokens(question)
        inputs = {**tokens, "pixel_values": values(self._images, pixels)}
        shapes = tuple((name, tuple(tensor.shape[1:])) for name, tensor in sorted(inputs.items()))
        weight = max(inputs["pixel_values"].numel() // 3, 1)
        return Prepared(Call(inputs, options, cut), group=(shapes, bool(options)), pixels=weight)

    def answers(self, batch: Sequence[Prepared]) -> list[Answer | Told]:
        """Answer each question. A question that was longer than the model takes is told as `cut_tokens`."""
        answers = self._answered(batch, self.stacked(batch))
        return [self._remarked(answer, prepared.payload) for answer, prepared in zip(answers, batch, strict=True)]

    def stacked(self, batch: Sequence[Prepared]) -> dict[str, torch.Tensor]:
        """Return the tensors of all calls of a batch, one below the other."""
        calls: list[Call] = [prepared.payload for prepared in batch]
        stacked = {
            name: torch.cat([call.inputs[name] for call in calls]).to(self.at.device) for name in calls[0].inputs
        }
        stacked["pixel_values"] = stacked["pixel_values"].to(self.at.dtype)
        return stacked

    def _remarked(self, answer: Answer, call: Call) -> Answer | Told:
        kind = ScoreKind.SOFTMAX if call.options else self.scores  # what the options share adds up to 1
        if not call.cut and kind == self.scores:
            return answer
        return Told(answer, {"cut_tokens": call.cut} if call.cut else {}, scores=kind)

    def can_say(self, answer: str) -> bool:
        """Say whether an answer is one that the model can give."""
        raise NotImplementedError

    def _check_options(self, options: Sequence[str]) -> None:
        """Raise ModelError where the model cannot score one of the options."""
        raise NotImplementedError

    def _answered(self, batch: Sequence[Prepared], inputs: dict[str, torch.Tensor]) -> list[Answer]:
        raise NotImplementedError

    def _of_pictures(self, path: Path) -> Any:  # noqa: ANN401
        return processor(AutoImageProcessor, path)

    def _tokens(self, question: str) -> tuple[dict[str, torch.Tensor], int]:
        """Return a question's tokens, 1 × n, and how many had to go; the sign of the end stays."""
        ids = self._ids(question, ends=True)
        kept = [*ids[: self._longest - 1], ids[-1]] if len(ids) > self._longest else ids
        tokens = torch.tensor([kept])
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, len(ids) - len(kept)

    def _ids(self, text: str, *, ends: bool) -> list[int]:
        # Tokenizers are not for two threads at a time. Cut is by hand: a limit would stay in the tokenizer for others.
        with self._turn:
            return list(self._tokenizer(text, add_special_tokens=ends, verbose=False)["input_ids"])


def framed(pixels: Pixels) -> Pixels:
    """Give a picture that is much longer than wide black borders on both sides."""
    height, width = pixels.shape[:2]
    more_high, more_wide = max(-(-width // LONGEST) - height, 0), max(-(-height // LONGEST) - width, 0)
    borders = ((more_high // 2, more_high - more_high // 2), (more_wide // 2, more_wide - more_wide // 2), (0, 0))
    return np.pad(pixels, borders)


def values(images: Any, pixels: Pixels) -> torch.Tensor:  # noqa: ANN401
    """Return a picture's tensor, 1 × 3 × H × W; alone it has no padding, so what masks that is left out."""
    return images(pixels, input_data_format="channels_last", return_tensors="pt")["pixel_values"]  # type: ignore[no-any-return]


def best(names: Sequence[str], scores: Sequence[float]) -> Answer:
    """Return the answer of the highest score, with all of them, best first."""
    labels = [Label(name=name, score=min(score, 1.0)) for name, score in zip(names, scores, strict=True)]
    ranked = tuple(sorted(labels, key=lambda label: -label.score))
    return Answer(text=ranked[0].name, score=ranked[0].score, options=ranked)
