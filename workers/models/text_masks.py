"""The family `text_masks`: a mask from a phrase, for `Capability.SEGMENT`.

CLIPSeg (Lüddecke and Ecker 2022): one map of logits for the phrase, over the whole picture. It tells no two objects
apart: all that the phrase speaks of is in one mask. Boxes and points belong to the family `promptable_masks`.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from transformers import AutoImageProcessor, AutoTokenizer, CLIPSegForImageSegmentation

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability, Prompt, Segment
from workers.imaging.masks import encode, sample
from workers.modelling.checkpoint import Checkpoint, Place, finite, folder, one_picture, place, pretrained, processor
from workers.modelling.options import Tempered, options
from workers.models.family import Ask, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

THRESHOLD = 0.5
BAND = 1 << 22
"""So many pixels of the picture are decided at a time."""


class Options(Tempered):
    """The options of a row; see `load`."""

    threshold: float = Field(default=THRESHOLD, gt=0, lt=1)


def load(spec: ModelSpec) -> "TextMasks":
    """Load a checkpoint.

    Options: `threshold` (the probability from which a pixel belongs to the mask, 0.5), `temperature` (of the
    probabilities, from a calibration), `threads`. Raises ModelUnavailable.
    """
    told = options(spec, Options, {Capability.SEGMENT})
    path, at = folder(spec), place(spec)
    images = processor(AutoImageProcessor, path)
    if not images.size.height or getattr(images, "do_center_crop", False):
        raise ModelUnavailable(f"model {spec.name!r}: its processor does not squeeze the whole picture into one size")
    network = pretrained(CLIPSegForImageSegmentation, path, at)
    # A pixel's probability is above the threshold where its logit, divided by the temperature, is above this.
    cut = told.temperature * math.log(told.threshold / (1 - told.threshold))
    return TextMasks(spec, at, network, images, processor(AutoTokenizer, path), cut, told.temperature)


@dataclass(frozen=True, eq=False)
class _Call:
    """A picture's tensor, 1 × 3 × side × side, its own height and width, and the phrase's pieces."""

    pixels: torch.Tensor
    size: tuple[int, int]
    pieces: torch.Tensor
    cut_pieces: int


class TextMasks(Checkpoint):
    """A loaded checkpoint. Calls share a batch whatever their pictures and phrases are.

    A batch of n answers as n batches of one do: scores within 1e-4, masks but for pixels at the threshold.
    """

    preprocessing = "text-masks/1"
    scores = ScoreKind.SIGMOID

    def __init__(
        self,
        spec: ModelSpec,
        at: Place,
        network: Any,  # noqa: ANN401
        images: Any,  # noqa: ANN401
        tokenizer: Any,  # noqa: ANN401
        cut: float,
        temperature: float,
    ) -> None:
        super().__init__(spec, at, network)
        self._images, self._tokenizer, self._lock = images, tokenizer, threading.Lock()
        self._longest = int(network.config.text_config.max_position_embeddings)
        self._cut, self._temperature = cut, temperature

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess a picture and a phrase. Raises ModelError on boxes, points, or no phrase."""
        if ask.capability != Capability.SEGMENT:
            raise ModelError(f"this model segments; it cannot {ask.capability}")
        pixels, phrase = one_picture(ask), _phrase(ask.arguments.get("prompt"))
        tensor = self._images(pixels, input_data_format="channels_last", return_tensors="pt")["pixel_values"]
        with self._lock:  # tokenizers are not for two threads at a time
            ids = self._tokenizer(phrase, verbose=False)["input_ids"]
        kept = [*ids[: self._longest - 1], ids[-1]] if len(ids) > self._longest else ids  # with the sign of the end
        call = _Call(tensor, (pixels.shape[0], pixels.shape[1]), torch.tensor([kept]), len(ids) - len(kept))
        return Prepared(call, group=tuple(tensor.shape), pixels=tensor[0, 0].numel(), prompt=phrase)

    def answers(self, batch: Sequence[Prepared]) -> list[Any]:
        """Return one mask for each call, or none where no pixel reaches the threshold."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        # Each phrase is encoded by itself, so that it is not padded to the length of another.
        phrases = [
            self.network.get_conditional_embeddings(batch_size=1, input_ids=call.pieces.to(self.at.device))
            for call in calls
        ]
        pixels = torch.cat([call.pixels for call in calls]).to(self.at.device, self.at.dtype)
        logits = self.network(pixel_values=pixels, conditional_embeddings=torch.cat(phrases)).logits.float()
        finite(logits)
        fields = logits.cpu().numpy()
        return [self._answer(call, field) for call, field in zip(calls, fields, strict=True)]

    def _answer(self, call: _Call, field: npt.NDArray[np.float32]) -> tuple[Segment, ...] | Told:
        found = self._segment(field, call.size)
        return Told(found, {"cut_pieces": call.cut_pieces}) if call.cut_pieces else found

    def _segment(self, field: npt.NDArray[np.float32], size: tuple[int, int]) -> tuple[Segment, ...]:
        """Read the logits, side × side over the whole picture, at the picture's pixels.

        The score is the mean of the probabilities inside the mask.
        """
        height, width = size
        rows, columns = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(size, field.shape, strict=True))
        bits, total = np.zeros(size, dtype=bool), 0.0
        for band in np.array_split(np.arange(height), -(-height * width // BAND)):
            values = sample(field, rows[band], columns)
            bits[band] = values > self._cut
            total += float(_sigmoid(values[bits[band]] / self._temperature).sum())
        count = int(bits.sum())
        return (Segment(mask=encode(bits), score=min(total / count, 1.0)),) if count else ()


def _phrase(prompt: Prompt | None) -> str:
    """Return what to look for. Raises ModelError where it is not, or not only, a phrase."""
    if prompt is None or prompt.boxes or prompt.points:
        raise ModelError("this model segments what a phrase says; it takes no boxes and no points")
    if not prompt.phrase or not prompt.phrase.strip():
        raise ModelError(f"the phrase needs a word: {prompt.phrase!r}")
    return prompt.phrase


def _sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))  # which overflows nowhere
