"""Small labelled sets that a toy learns within seconds: what is right shows in a picture's colour."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from workers.training.learners.learner import FamilyLearner
from workers.training.loop import fit
from workers.training.plan import Schedule
from workers.training.sets.lines import read
from workers.training.sets.splitting import Division, Parts, split

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "white": (240, 240, 240)}
SIDE = 32


def pictures(folder: Path, count: int) -> list[tuple[str, str]]:
    """Draw noisy pictures of one colour each; return the files' names with the colours'."""
    rng = np.random.default_rng(0)
    drawn = []
    for index in range(count):
        colour = list(COLOURS)[index % len(COLOURS)]
        noise = rng.normal(0, 20, (SIDE, SIDE, 3))
        pixels = (np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        drawn.append((f"{index}.png", colour))
    return drawn


def parts_of(folder: Path, lines: Sequence[Mapping[str, Any]]) -> Parts[Any]:
    """Write the lines into a folder with their pictures, read them back and split them."""
    file = folder / "lines.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    return split(read(file), Division(validation=0.25, held_out=0))


def taught(learner: FamilyLearner, steps: int, rate: float = 2e-3) -> list[float]:
    """Let it learn for so many steps, by no clock and without an average; return the losses."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    learner.network.train()
    optimizer = torch.optim.AdamW((each for each in learner.network.parameters() if each.requires_grad), lr=rate)
    losses = []
    for batch, _ in zip(learner.batches(0), range(steps), strict=False):
        step = learner.loss(batch)
        optimizer.zero_grad()
        step.loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(step.loss.detach()))
    learner.network.eval()
    return losses


def measured(learner: FamilyLearner) -> float:
    """Return the measure that is watched."""
    with torch.inference_mode():
        return learner.measure()[learner.watched]


def goes_through_the_loop(learner: FamilyLearner, run: Path) -> None:
    """Fail unless the training loop trains it, keeps its best weights, and goes on from its checkpoint."""
    short = Schedule(minutes=1 / 120, rate=1e-3, rounds=1, threads=1)
    first = fit(learner, short, run)

    again = fit(learner, short, run)

    assert first.steps == again.steps > 0
    assert learner.watched in first.best.measures
    assert measured(learner) == pytest.approx(again.best.measures[learner.watched])
