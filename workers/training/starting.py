"""The checkpoint that a training begins with: loaded as its family serves it, and saved so that it is served again.

What is learned on is exactly what is served: the same preprocessing, the same words about a question. So a family's
learner holds the family's own model, and this file gives it the row of a profile that the model is loaded by.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, Json
from transformers.utils import logging

from domain.errors import InvalidRequest, ModelError
from domain.vision import Capability
from workers.hub import KEPT, RECORD, digest
from workers.registry import ModelSpec
from workers.training.learners.learner import Options

CONFIG = "config.json"
FEW_WEIGHTS, RATE_OF_FEW = 30_000_000, 5e-4
"""Networks of fewer weights, such as the embedded pack's, learn on at this rate."""


class Started(BaseModel):
    """The options of every family that begins with a checkpoint; a family's own inherit it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: Json[dict[str, Any]] = Field(default_factory=dict)
    """the options of the row that serves it, as JSON: of a model that needs some to be loaded at all"""
    licence: str = Field(default="that of the checkpoint it began with", min_length=1)


def row(family: str, options: Options, told: Started, capabilities: tuple[Capability, ...], **more: Any) -> ModelSpec:  # noqa: ANN401
    """Return the row that the checkpoint to begin with is loaded by; `more` goes into it besides.

    Raises InvalidRequest where none is named, and on what only a network from random weights could heed.
    """
    if options.start is None or options.architecture is not None:
        raise InvalidRequest(
            f"{family} does not learn from random weights: name the folder of a checkpoint to begin with"
        )
    if not options.start.is_dir():
        raise InvalidRequest(f"{options.start} is no folder; {family} begins with the folder of a checkpoint")
    if options.side is not None:
        raise InvalidRequest(f"{family} sees pictures at the size that its checkpoint says; leave the side out")
    fields = {"options": told.row, "device": options.device, "licence": told.licence, **more}
    source = options.start.resolve()
    return ModelSpec(
        name="start", family=family, capabilities=capabilities, source=str(source), revision=digest(source), **fields
    )


def rate(network: torch.nn.Module, large: float) -> float:
    """Return at which rate a network learns on: `large` that of published sizes; one of few weights wants more."""
    return RATE_OF_FEW if sum(each.numel() for each in network.parameters()) < FEW_WEIGHTS else large


def save(network: Any, start: Path, folder: Path) -> None:  # noqa: ANN401  (transformers has no types)
    """Write a network in half precision, with what else lies in the checkpoint that it began with (a tokenizer).

    The half precision is the checkpoint's own, or float16. Raises ModelError where a weight is out of its range.
    """
    dtype = torch.bfloat16 if _dtype(start) == "bfloat16" else torch.float16
    logging.disable_progress_bar()
    network.save_pretrained(folder, state_dict=_halved(network.state_dict(), dtype))
    for file in start.rglob("*"):
        if file.is_file() and file.suffix in KEPT and not _written(file):
            copy = folder / file.relative_to(start)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    config["dtype"] = str(dtype).removeprefix("torch.")
    (folder / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _dtype(start: Path) -> str:
    config = json.loads((start / CONFIG).read_text("utf-8"))
    return str(config.get("dtype") or config.get("torch_dtype"))


def _written(file: Path) -> bool:
    """Say whether a checkpoint's file is one that saving writes anew, or that is about another checkpoint."""
    return file.suffix == ".safetensors" or file.name in {CONFIG, RECORD} or file.name.endswith(".index.json")


def _halved(weights: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return weights in half precision; those that share their memory still do, and so are written once."""
    halved: dict[tuple[int, torch.Size], torch.Tensor] = {}
    told = {}
    for name, value in weights.items():
        if not value.is_floating_point():
            told[name] = value
            continue
        place = (value.data_ptr(), value.shape)
        if place not in halved:
            halved[place] = value.to(dtype)
            if not torch.isfinite(halved[place]).all():
                raise ModelError(f"the weights {name} are out of the range of {dtype}; train at a lower rate")
        told[name] = halved[place]
    return told
