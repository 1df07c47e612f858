"""Regions of a picture, as features and boxes, from a detector of transformers that finds objects by queries.

Stands in for the Faster R-CNN that models of regions were published with (Anderson et al. 2018), with other features.
"""

from typing import Any

import torch
from torchvision.ops import roi_align

from domain.errors import ModelError, ModelUnavailable

KINDS = ("queries", "pooled")
"""What a region's features are: the last hidden state of its query, or the mean of the feature map inside its box."""
POOLED_SIDE = 7
"""A box's part of the feature map is sampled at this many places a side, as Faster R-CNN does."""


class Regions:
    """The best regions that a loaded detector (DETR, RT-DETR or the like) finds. For one thread."""

    def __init__(self, network: Any, kind: str, count: int) -> None:  # noqa: ANN401  (transformers has no types)
        backbone = getattr(getattr(network, "model", None), "backbone", None)
        self._network, self._kind = network, kind
        self._count = min(count, int(getattr(network.config, "num_queries", 0)))
        if backbone is None or self._count < 1:
            raise ModelUnavailable(f"a {type(network).__name__} has no {count} queries that stand for regions")
        self._maps: list[torch.Tensor] = []
        if kind == "pooled":
            backbone.register_forward_hook(lambda _, __, features: self._maps.append(features[-1][0]))

    def of(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (B × N × D) and boxes (B × N × 4, `xyxy` as shares of the sides), best first.

        Raises ModelError where the detector's output is not finite.
        """
        self._maps.clear()
        told = self._network(pixel_values=pixel_values)
        logits = told.logits.float()
        if not (torch.isfinite(logits).all() and torch.isfinite(told.pred_boxes).all()):
            raise ModelError("the detector's output is not finite")
        nothing = logits.shape[-1] > self._network.config.num_labels  # DETR has a class for it, the others do not
        scores = torch.softmax(logits, dim=-1)[..., :-1] if nothing else torch.sigmoid(logits)
        best = scores.amax(dim=-1).topk(self._count).indices[..., None]
        boxes = xyxy(torch.take_along_dim(told.pred_boxes, best, dim=1))
        if self._kind == "pooled":
            return pooled(self._maps.pop(), boxes), boxes
        return torch.take_along_dim(told.last_hidden_state, best, dim=1), boxes

    def close(self) -> None:
        """Release the detector's memory."""
        self._network = None
        self._maps.clear()


def pooled(maps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Return the mean of each box's part of a feature map (B × D × H × W), B × N × D (RoIAlign, He et al. 2017)."""
    height, width = maps.shape[2:]
    places = boxes * torch.tensor([width, height, width, height], device=boxes.device, dtype=boxes.dtype)
    # In float32: there is no kernel for bfloat16.
    sampled = roi_align(maps.float(), list(places.float()), POOLED_SIDE, sampling_ratio=2, aligned=True)
    return sampled.mean(dim=(2, 3)).unflatten(0, boxes.shape[:2]).to(maps.dtype)  # type: ignore[no-any-return]


def xyxy(boxes: torch.Tensor) -> torch.Tensor:
    """Turn (centre, size) into (x0, y0, x1, y1), clipped to the picture; all are shares of its sides."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1).clamp(0, 1)
