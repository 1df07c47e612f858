"""The checkpoint of a training: what it takes to go on after a crash, written so that a crash leaves the one before."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from domain.errors import InvalidRequest

CHECKPOINT = "checkpoint.pt"
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A training's state: the weights, their average and the best so far, the optimizer's, and how far it is."""

    training: str
    network: dict[str, Any]
    average: dict[str, Any]
    optimizer: dict[str, Any]
    best: dict[str, Any] | None
    seconds: float
    steps: int
    examples: int
    rounds: list[dict[str, Any]]


def write_checkpoint(checkpoint: Checkpoint, run: Path) -> None:
    """Write the checkpoint into a folder, in place of the one before, whole or not at all."""
    path = run / CHECKPOINT
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        # `asdict` would copy every tensor.
        torch.save({"format": FORMAT, **vars(checkpoint)}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def read_checkpoint(run: Path) -> Checkpoint | None:
    """Read the checkpoint in a folder; None where there is none. Raises InvalidRequest where it cannot be read."""
    path = run / CHECKPOINT
    if not path.exists():
        return None
    try:
        told = torch.load(path, map_location="cpu", weights_only=True)
        if told.pop("format") != FORMAT:
            raise InvalidRequest(f"{path} was written by another version of Sightline; remove it to begin anew")
        return Checkpoint(**told)
    except InvalidRequest:
        raise
    except Exception as error:  # torch raises whatever its unpickler meets
        raise InvalidRequest(f"{path} cannot be read: {error}; remove it to begin anew") from error
