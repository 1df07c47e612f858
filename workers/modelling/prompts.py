"""A conversation about pictures as the tensors that a chat model of transformers continues.

Knows the ways in which processors of transformers want pictures and words put together; what is asked, and what is made
of the answer, is the family's matter (`workers/models/chat_vlm.py`).
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jinja2 import TemplateError
from PIL import Image
from transformers import Blip2Processor, IdeficsProcessor, InstructBlipProcessor, PaliGemmaProcessor
from transformers.models.smolvlm import processing_smolvlm

from domain.errors import ModelError
from workers.modelling.decoding import Tokens

LEADING = (Blip2Processor, InstructBlipProcessor)
"""Processors that put the picture before the text by themselves."""
LONGEST = 50
"""How many times longer than wide a picture is shown; a narrower one is widened. Qwen-VL takes no more than 200."""
SHORTEST = 32
"""The fewest pixels a side that a picture is shown with: Mistral 3 makes nothing of less than 28."""
IDEFICS_TURN = "Question: {} Answer:"
"""The spaces matter: the processor of Idefics takes a text without any for an address, and would fetch it."""
SOME_ANSWER = "A heron."

if processing_smolvlm.num2words is None:  # it spells out how many frames a video has, and no video comes here
    processing_smolvlm.num2words = str


@dataclass(frozen=True, eq=False)
class Turn:
    """A question about pictures, and its answer where it is an example."""

    pictures: tuple[Image.Image, ...]
    question: str
    answer: str | None = None


class Prompts:
    """A processor that renders conversations: by its chat template, or else as image tokens and text.

    Without a template, PaliGemma's way, turns are lines; Idefics takes pictures and texts in turn (Alayrac et al.
    2022, section 2). For many threads.
    """

    def __init__(self, processor: Any, system: str, arguments: Mapping[str, Any]) -> None:  # noqa: ANN401
        self._processor, self._tokenizer = processor, processor.tokenizer
        self._system, self._arguments = system, arguments
        self._interleaved = isinstance(processor, IdeficsProcessor)
        self.templated = not self._interleaved and bool(getattr(processor, "chat_template", None))
        added = self._tokenizer.added_tokens_decoder.values()
        multimodal = map(str, processor.all_special_multimodal_tokens)
        self._signs = {str(token) for token in added if token.special}.union(multimodal)

    def refuse_signs(self, texts: Iterable[str]) -> None:
        """Raise ModelError where a text holds one of the tokenizer's special tokens: it would speak as another."""
        for text in texts:
            if sign := next((sign for sign in self._signs if sign in text), None):
                raise ModelError(f"a text must not hold {sign!r}, which this model reads as a sign of its own")

    def tensors(self, turns: Sequence[Turn]) -> tuple[dict[str, torch.Tensor], str]:
        """Return what the network takes, a batch of one, and the prompt in words.

        Raises ModelError where the template or the processor refuses.
        """
        several = sum(len(turn.pictures) for turn in turns)
        if isinstance(self._processor, LEADING) and several > 1:
            raise ModelError(f"this model looks at one picture at a time, not at {several}")
        try:
            told, prompt = self._interleave(turns) if self._interleaved else self._render(turns)
        except (ValueError, RuntimeError, TemplateError) as error:
            raise ModelError(f"the model's processor cannot take this prompt: {error}") from error
        kept = {name: value for name, value in told.items() if isinstance(value, torch.Tensor) and name != "labels"}
        return kept, prompt

    def continued(self, prompt: Sequence[int], texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text as they follow a prompt, after a space where it ends in none."""
        last = "" if prompt[-1] in self._tokenizer.all_special_ids else self._tokenizer.decode(prompt[-1:])
        gap = " " if last and not last[-1].isspace() else ""
        before = self._ids(last)
        told = []
        for text in texts:
            both = self._ids(last + gap + text)
            told.append(both[len(before) :] if both[: len(before)] == before else self._ids(gap + text))
        return told

    def followed(self, inputs: Mapping[str, torch.Tensor], tokens: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return a prompt's tensors with tokens after it, as generating carries them on, for one pass without a cache.

        What is said of the prompt's last token is said of those; but PaliGemma sees a prompt whole, and not what it
        writes (Beyer et al. 2024, section 3.1).
        """
        told = dict(inputs)
        for name in by_token(inputs):
            last = inputs[name][:, -1:]
            if name == "token_type_ids" and isinstance(self._processor, PaliGemmaProcessor):
                last = torch.ones_like(last)
            more = last.expand(-1, len(tokens), *last.shape[2:])
            told[name] = torch.cat([inputs[name], more], dim=1)
        told["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([tokens])], dim=1)
        return told

    def end(self, ends: Collection[int]) -> int | None:
        """Return which of some tokens the template ends an answer with; without one, the tokenizer's; None of none."""
        if self.templated:
            turns = [_message("user", "What is it?"), _message("assistant", SOME_ANSWER)]
            written = str(self._processor.apply_chat_template(turns, **self._arguments))
            after = self._ids(written.rpartition(SOME_ANSWER)[2])
            if found := next((token for token in after if token in ends), None):
                return found
        usual = self._tokenizer.eos_token_id
        return usual if usual in ends else min(ends, default=None)

    def _ids(self, text: str) -> Tokens:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _render(self, turns: Sequence[Turn]) -> tuple[Any, str]:
        prompt = self._chat(turns) if self.templated else self._lines(turns)
        # The template may have written the first token; the tokenizer must not write it again.
        bos = self._tokenizer.bos_token
        more = {"add_special_tokens": False} if self.templated and bos and prompt.startswith(bos) else {}
        views = [[picture for turn in turns for picture in turn.pictures]]
        if isinstance(
            self._processor, PaliGemmaProcessor
        ):  # given tensors, it makes labels by a way that numpy warns of
            return self._processor(images=views, text=[prompt]).convert_to_tensors("pt"), prompt
        return self._processor(images=views, text=[prompt], return_tensors="pt", **more), prompt

    def _chat(self, turns: Sequence[Turn]) -> str:
        messages = [_message("system", self._system)] if self._system else []
        for turn in turns:
            messages.append(_message("user", turn.question, len(turn.pictures)))
            if turn.answer is not None:
                messages.append(_message("assistant", turn.answer))
        return str(self._processor.apply_chat_template(messages, add_generation_prompt=True, **self._arguments))

    def _lines(self, turns: Sequence[Turn]) -> str:
        image = "" if isinstance(self._processor, LEADING) else self._processor.image_token
        lines = [image * len(turn.pictures) + turn.question + _answered(turn) for turn in turns]
        return "\n".join([self._system, *lines] if self._system else lines)

    def _interleave(self, turns: Sequence[Turn]) -> tuple[Any, str]:
        parts: list[Any] = [f"{self._system} \n"] if self._system else []
        for turn in turns:
            end = "" if turn.answer is None else "\n"
            parts += [*turn.pictures, IDEFICS_TURN.replace("{}", turn.question) + _answered(turn) + end]
        prompt = "".join(part if isinstance(part, str) else "<image>" for part in parts)
        return self._processor(text=[parts], return_tensors="pt"), prompt


def by_token(inputs: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names of the tensors that say something of each of a prompt's tokens, B × length × …."""
    length = inputs["input_ids"].shape[1]
    return [
        name
        for name, tensor in inputs.items()
        if tensor.ndim > 1 and tensor.shape[1] == length and not tensor.is_floating_point()
    ]


def shown(pixels: npt.NDArray[np.uint8], max_pixels: int) -> Image.Image:
    """Return H × W × 3 pixels as a processor gets them: no narrower than 1 to 50, of no more than so many pixels.

    A picture of less than `SHORTEST` pixels a side is enlarged.
    """
    height, width = pixels.shape[:2]
    pixels = pixels.repeat(math.ceil(width / (LONGEST * height)), axis=0)
    pixels = pixels.repeat(math.ceil(height / (LONGEST * width)), axis=1)
    times = math.ceil(SHORTEST / min(pixels.shape[:2]))
    pixels = pixels.repeat(times, axis=0).repeat(times, axis=1)
    height, width = pixels.shape[:2]
    shrink = math.sqrt(min(1.0, max_pixels / (height * width)))
    picture = Image.fromarray(pixels)
    if shrink == 1:
        return picture
    return picture.resize((max(1, int(width * shrink)), max(1, int(height * shrink))), Image.Resampling.LANCZOS)


def _answered(turn: Turn) -> str:
    return "" if turn.answer is None else f" {turn.answer}"


def _message(role: str, text: str, pictures: int = 0) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "image"}] * pictures + [{"type": "text", "text": text}]}
