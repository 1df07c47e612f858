"""The family `detection`: objects of a checkpoint's own classes, for `Capability.DETECT`.

RT-DETR and RT-DETR v2, D-FINE, RF-DETR, DETR, and whatever else transformers loads for object detection and whose image
processor turns its output into boxes. These networks answer with a set, so nothing is suppressed afterwards. A picture
is never padded to another's size: only pictures whose tensors have the same shape share a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Box
from domain.vision import Capability, Detection
from workers.modelling.checkpoint import (
    Checkpoint,
    Place,
    finite,
    folder,
    min_score,
    one_picture,
    place,
    pretrained,
    processor,
)
from workers.modelling.options import Tempered, options
from workers.models.family import Ask, Pixels, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

SHARES = frozenset({"detr", "table-transformer", "yolos"})
"""Architectures (`model_type`) whose classes and "no object" share out 1; all others judge each class by itself."""
LONGEST = 16
"""How many times longer than wide a picture may be before a processor that keeps its aspect gets it stretched."""


def load(spec: ModelSpec) -> "Detector":
    """Load a checkpoint.

    Options: `temperature` (of the scores, from a calibration), `threads`. Raises ModelUnavailable.
    """
    told = options(spec, Tempered, {Capability.DETECT})
    path, at = folder(spec), place(spec)
    network = pretrained(AutoModelForObjectDetection, path, at)
    images = processor(AutoImageProcessor, path)
    if not hasattr(images, "post_process_object_detection"):
        raise ModelUnavailable(f"model {spec.name!r}: a {type(images).__name__} makes no boxes of a network's output")
    return Detector(spec, at, network, images, told.temperature)


@dataclass(frozen=True, eq=False)
class _Call:
    """A picture's tensors, its own height and width, and the least score that is wanted."""

    inputs: dict[str, torch.Tensor]
    size: tuple[int, int]
    min_score: float


class Detector(Checkpoint):
    """A loaded checkpoint.

    A batch of n answers as n batches of one do: same labels, scores within 1e-3, boxes within 0.1 % of the longer side.
    """

    preprocessing = "detection/1"

    def __init__(self, spec: ModelSpec, at: Place, network: Any, images: Any, temperature: float) -> None:  # noqa: ANN401
        super().__init__(spec, at, network)
        self._images = images
        self._names: dict[int, str] = dict(network.config.id2label)
        self.classes = tuple(self._names[index] for index in sorted(self._names))
        self.scores = ScoreKind.SOFTMAX if network.config.model_type in SHARES else ScoreKind.SIGMOID
        self._temperature = temperature

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess one picture. Raises ModelError on another capability, other than one picture, or a bad score."""
        if ask.capability != Capability.DETECT:
            raise ModelError(f"this model detects; it cannot {ask.capability}")
        pixels = one_picture(ask)
        inputs = dict(self._images(self._stretched(pixels), input_data_format="channels_last", return_tensors="pt"))
        group = tuple((name, tuple(tensor.shape[1:])) for name, tensor in sorted(inputs.items()))
        weight = int(inputs["pixel_values"].numel()) // 3
        return Prepared(_Call(inputs, pixels.shape[:2], min_score(ask)), group, max(weight, 1))

    def answers(self, batch: Sequence[Prepared]) -> list[tuple[Detection, ...] | Told]:
        """Return what each picture shows, best first."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        stacked = {
            name: torch.cat([call.inputs[name] for call in calls]).to(self.at.device) for name in calls[0].inputs
        }
        stacked["pixel_values"] = stacked["pixel_values"].to(self.at.dtype)
        told = self.network(**stacked)
        if getattr(told, "pred_boxes", None) is None:
            raise ModelError(f"a {type(self.network).__name__} gives no boxes")
        told.logits, told.pred_boxes = told.logits.float() / self._temperature, told.pred_boxes.float()
        finite(told.logits, told.pred_boxes)
        # Each call wants another least score: all are kept here (a threshold is exceeded, never met).
        found = self._images.post_process_object_detection(
            told, threshold=-1.0, target_sizes=[call.size for call in calls]
        )
        return [self._answer(call, of_one) for call, of_one in zip(calls, found, strict=True)]

    def _answer(self, call: _Call, found: dict[str, torch.Tensor]) -> tuple[Detection, ...] | Told:
        height, width = call.size
        kept, dropped = [], 0
        columns = (found[name].tolist() for name in ("scores", "labels", "boxes"))
        for score, label, corners in zip(*columns, strict=True):
            if score < call.min_score:
                continue
            x0, y0, x1, y1 = corners
            box = Box(x0=x0, y0=y0, x1=max(x0, x1), y1=max(y0, y1)).clipped(width, height)
            if box.area > 0:
                kept.append(Detection(label=self._names[label], score=min(score, 1.0), box=box))
            else:
                dropped += 1
        answer = tuple(sorted(kept, key=lambda detection: -detection.score))
        return Told(answer, {"dropped_boxes": dropped}) if dropped else answer

    def _stretched(self, pixels: Pixels) -> Pixels:
        """Stretch a very long picture whose aspect, if kept, would leave it no height or no width.

        Boxes are fractions of the picture's sides, so that they stand where they stood.
        """
        height, width = pixels.shape[:2]
        size = self._images.size
        if not (size.shortest_edge and size.longest_edge) or max(height, width) <= LONGEST * min(height, width):
            return pixels
        longer = min(max(height, width), size.longest_edge)
        shorter = -(-longer // LONGEST)
        to = (longer, shorter) if width > height else (shorter, longer)
        return np.array(Image.fromarray(pixels).resize(to, Image.Resampling.BOX))
