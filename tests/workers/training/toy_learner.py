"""A family that learns in milliseconds: a line through examples that the set has nothing to do with."""

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from domain.vision import Capability
from workers.training.learners.learner import NoOptions, Options, checked
from workers.training.loop import Step
from workers.training.sets.splitting import Parts

SLOPE = torch.tensor([[2.0, -1.0]])


class LineLearner:
    """Learns y = 2a - b. After `interrupt_after` steps of this process, Ctrl-C comes."""

    watched = "fit"
    rates: Mapping[str, float] = {}
    rate = 0.1
    capabilities: tuple[Capability, ...] = (Capability.CLASSIFY,)
    licence = "a toy"
    served: Mapping[str, Any] = {"templates": ["a {}"]}
    interrupt_after: int | None = None

    def __init__(self, parts: Parts[Any], options: Options) -> None:
        self.parts, self.options = parts, options
        self.network = torch.nn.Linear(2, 1)
        self.steps = 0

    def batches(self, seed: int) -> Iterator[torch.Tensor]:
        """See Learner."""
        source = torch.Generator().manual_seed(seed)
        while True:
            yield torch.randn(16, 2, generator=source)

    def loss(self, batch: torch.Tensor) -> Step:
        """See Learner."""
        self.steps += 1
        if self.steps == self.interrupt_after:
            signal.raise_signal(signal.SIGINT)
        loss = (self.network(batch) - batch @ SLOPE.T).square().mean()
        return Step(loss, {"square": loss}, len(batch))

    def measure(self) -> dict[str, float]:
        """See Learner; one of its measures is of nothing."""
        return {"fit": -float((self.network.weight - SLOPE).abs().max()), "empty": float("nan")}

    def save(self, folder: Path) -> None:
        """See FamilyLearner."""
        save_file(
            {name: value.half() for name, value in self.network.state_dict().items()}, folder / "line.safetensors"
        )


def learner(parts: Parts[Any], options: Options) -> LineLearner:
    """See Family."""
    checked(options, NoOptions)
    return LineLearner(parts, options)
