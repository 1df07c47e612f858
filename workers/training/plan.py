"""How a training goes: its plan, its rate over time, what it steps with, and what it is fed."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch

from workers.training.batches import Batch

WARM_UP = 0.04
"""The share of a training over which its rate rises from zero."""
FINAL_RATE = 0.02
"""The rate at the end, as a share of the highest."""


@dataclass(frozen=True)
class Plan:
    """How a training goes. The rate follows the clock, so that it always ends where it should.

    `start` is a checkpoint to begin with instead of random weights; what does not fit (other classes) begins anew.
    """

    minutes: float
    batch: int = 8
    side: int = 256
    architecture: str = "yolo11n-seg.yaml"
    rate: float = 1.5e-3
    decay: float = 5e-4
    seed: int = 0
    start: Path | None = None
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    share: float
    pictures: int
    losses: dict[str, float]


def optimizer(model: torch.nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """AdamW that lets only matrices decay, not biases and normalisation."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": plan.decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.rate)


def rate_at(share: float) -> float:
    """Return the rate as a share of the highest: a linear rise, then a cosine fall (Loshchilov and Hutter, 2017)."""
    if share < WARM_UP:
        return max(share / WARM_UP, 0.02)
    fall = min((share - WARM_UP) / (1 - WARM_UP), 1.0)
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + float(torch.cos(torch.tensor(torch.pi * fall)))) / 2


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """Return a batch as ultralytics' losses take it."""
    images = torch.from_numpy(batch.images).to(memory_format=torch.channels_last)
    return {
        "img": images.float() / 255,
        "cls": torch.from_numpy(batch.labels).float(),
        "bboxes": torch.from_numpy(batch.boxes),
        "batch_idx": torch.from_numpy(batch.owners).float(),
        "masks": torch.from_numpy(batch.masks),
    }
