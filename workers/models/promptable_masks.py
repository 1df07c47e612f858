"""The family `promptable_masks`: a mask for each box, or one for points, for `Capability.SEGMENT`.

SAM (Kirillov et al. 2023), SAM 2 (Ravi et al. 2024) and the tracker of SAM 3, on single pictures. For each prompt the
network draws several masks and estimates how well each fits (its IoU with the true one); the best of them is the
answer. Phrases belong to the family `text_masks`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoImageProcessor, AutoModelForMaskGeneration, Sam2Model, Sam3TrackerModel, SamModel

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Box, Mask, Point
from domain.vision import Capability, Prompt, Segment
from workers.imaging.masks import encode, sample
from workers.modelling.checkpoint import Checkpoint, Place, finite, folder, one_picture, place, pretrained, processor
from workers.modelling.options import Options, options
from workers.models.family import Ask, Pixels, Prepared, ScoreKind
from workers.registry import ModelSpec

AT_ONCE = 32
"""So many boxes of a picture are decoded at a time."""
BAND = 1 << 22
"""So many pixels of the picture are decided at a time."""


def load(spec: ModelSpec) -> "PromptableMasks":
    """Load a checkpoint. Options: `threads`. Raises ModelUnavailable."""
    options(spec, Options, {Capability.SEGMENT})
    path, at = folder(spec), place(spec)
    network = pretrained(AutoModelForMaskGeneration, path, at)
    if not isinstance(network, SamModel | Sam2Model | Sam3TrackerModel):
        raise ModelUnavailable(
            f"model {spec.name!r}: a {type(network).__name__} is none of SAM, SAM 2 and the tracker of SAM 3; take one"
        )
    return PromptableMasks(spec, at, network, processor(AutoImageProcessor, path))


@dataclass(frozen=True)
class _Fit:
    """Where a picture lies in the network's square: at its top left, `scale` pixels (x, y) for one of the picture."""

    size: tuple[int, int]
    scale: tuple[float, float]
    side: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Call:
    """A picture's tensor, 1 × 3 × side × side, how it lies in it, and the prompts in the square's pixels.

    `boxes` is n × 4; `points` is 1 × n × 2, for there is one mask for all of them. Either may have no rows.
    """

    pixels: torch.Tensor
    fit: _Fit
    boxes: torch.Tensor
    points: torch.Tensor


class PromptableMasks(Checkpoint):
    """A loaded checkpoint. Calls share a batch whatever their prompts are: only the pictures are encoded together.

    A batch of n answers as n batches of one do: scores within 1e-3, masks but for pixels at their rim.
    """

    preprocessing = "promptable-masks/1"
    scores = ScoreKind.OVERLAP

    def __init__(self, spec: ModelSpec, at: Place, network: Any, images: Any) -> None:  # noqa: ANN401
        super().__init__(spec, at, network)
        self._images = images

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess a picture and its prompts. Raises ModelError on a phrase, or what lies outside the picture."""
        if ask.capability != Capability.SEGMENT:
            raise ModelError(f"this model segments; it cannot {ask.capability}")
        pixels = one_picture(ask)
        boxes, points = _prompts(ask.arguments.get("prompt"), *pixels.shape[:2])
        seen = self._images(self._thickened(pixels), input_data_format="channels_last", return_tensors="pt")
        tensor = seen["pixel_values"]
        fit = _fit(pixels, seen)
        call = _Call(
            tensor,
            fit,
            torch.tensor([box.xyxy for box in boxes]).reshape(-1, 4) * torch.tensor(fit.scale * 2),
            torch.tensor(points).reshape(1, -1, 2) * torch.tensor(fit.scale),
        )
        return Prepared(call, group=tuple(tensor.shape), pixels=tensor[0, 0].numel())

    def answers(self, batch: Sequence[Prepared]) -> list[tuple[Segment, ...]]:
        """Return for each call a mask for each box, in their order, and then one for the points.

        A mask may be empty, so that there are as many as prompts.
        """
        calls: list[_Call] = [prepared.payload for prepared in batch]
        pixels = torch.cat([call.pixels for call in calls]).to(self.at.device, self.at.dtype)
        embeddings = self.network.get_image_embeddings(pixels)
        return [self._answer(call, _one_of(embeddings, index)) for index, call in enumerate(calls)]

    def _answer(self, call: _Call, embeddings: Any) -> tuple[Segment, ...]:  # noqa: ANN401
        prompts = [{"input_boxes": boxes[None]} for boxes in torch.split(call.boxes, AT_ONCE) if len(boxes)]
        if call.points.numel():
            prompts.append({"input_points": call.points[None]})
        return tuple(segment for prompt in prompts for segment in self._decoded(call.fit, embeddings, prompt))

    def _decoded(self, fit: _Fit, embeddings: Any, prompt: dict[str, torch.Tensor]) -> list[Segment]:  # noqa: ANN401
        """Return the best mask for each prompt of one picture."""
        told = self.network(
            image_embeddings=embeddings, **{name: tensor.to(self.at.device) for name, tensor in prompt.items()}
        )
        scores, fields = told.iou_scores[0].float(), told.pred_masks[0].float()  # prompts × masks, … × height × width
        finite(scores, fields)
        best = scores.argmax(dim=1)
        each = torch.arange(len(best), device=best.device)
        chosen = zip(scores[each, best].tolist(), fields[each, best].cpu().numpy(), strict=True)
        # SAM's estimate is not bounded: it was learned as a number to be near the IoU.
        return [Segment(mask=_mask(field, fit), score=min(max(score, 0.0), 1.0)) for score, field in chosen]

    def _thickened(self, pixels: Pixels) -> Pixels:
        """Repeat the last rows or columns of a very thin picture, of which SAM's processor would leave nothing.

        It scales the longer side to the network's. What is added lies beyond the picture, and no mask covers it.
        """
        longest = getattr(self._images.size, "longest_edge", None)
        if not longest:
            return pixels
        least = math.ceil(max(pixels.shape[:2]) / longest)
        missing = [(0, max(least - length, 0)) for length in pixels.shape[:2]]
        return np.pad(pixels, (*missing, (0, 0)), mode="edge") if any(any(pair) for pair in missing) else pixels


def _prompts(prompt: Prompt | None, height: int, width: int) -> tuple[list[Box], Sequence[Point]]:
    """Return the boxes, clipped, and the points. Raises ModelError where there are none, or one lies outside."""
    if prompt is None or prompt.phrase is not None:
        raise ModelError("this model segments what boxes or points show; it takes no phrase")
    if not prompt.boxes and not prompt.points:
        raise ModelError("there is no box and no point to segment by")
    boxes = [box.clipped(width, height) for box in prompt.boxes]
    for told, box in zip(prompt.boxes, boxes, strict=True):
        if box.area <= 0:
            raise ModelError(f"the box {told.xyxy} covers nothing of a picture of {width}x{height}")
    for x, y in prompt.points:
        if not (0 <= x <= width and 0 <= y <= height):
            raise ModelError(f"the point {(x, y)} lies outside a picture of {width}x{height}")
    return boxes, prompt.points


def _fit(pixels: Pixels, seen: Any) -> _Fit:  # noqa: ANN401
    """Say how a picture lies in the square: SAM's keeps its shape and is padded, SAM 2's is squeezed to fill it."""
    height, width = seen["pixel_values"].shape[-2:]
    old_height, old_width = seen["original_sizes"][0].tolist()
    new_height, new_width = seen.get("reshaped_input_sizes", torch.tensor([[height, width]]))[0].tolist()
    scale = (new_width / old_width, new_height / old_height)
    return _Fit((pixels.shape[0], pixels.shape[1]), scale, (height, width))


def _one_of(embeddings: Any, index: int) -> Any:  # noqa: ANN401
    """Return one picture's embeddings, as a batch: SAM has one map for each, SAM 2 several of different sizes."""
    if isinstance(embeddings, torch.Tensor):
        return embeddings[index : index + 1]
    return [each[index : index + 1] for each in embeddings]


def _mask(field: npt.NDArray[np.float32], fit: _Fit) -> Mask:
    """Read a map of logits, which covers the square coarsely, at the picture's pixels."""
    (height, width), (sx, sy), (rows, columns) = fit.size, fit.scale, field.shape
    xs = (np.arange(width) + 0.5) * sx * columns / fit.side[1] - 0.5
    ys = (np.arange(height) + 0.5) * sy * rows / fit.side[0] - 0.5
    bands = np.array_split(ys, -(-height * width // BAND))
    return encode(np.concatenate([sample(field, band, xs) > 0 for band in bands]))
