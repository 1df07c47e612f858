"""What is to be trained, what that begins with and where it computes, from what a command or a job says of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from domain.applications.training.schema import Name
from domain.errors import InvalidRequest
from storage.settings import Settings
from workers.hub import fetched
from workers.modelling.questions import Worded
from workers.registry import ModelSpec, load_profile
from workers.training.evaluating.candidate import candidate, weights
from workers.training.learners.learner import Options
from workers.training.sets.splitting import Division
from workers.training.training import Order

INHERITED: Mapping[str, tuple[str, ...]] = {
    "chat_vlm": (*Worded.__annotations__, "max_new_tokens"),
    "seq2seq": ("pairs", "codes", "small_letters", "max_new_tokens"),
}
"""The options of a row, by family, that what it is trained into inherits: how it is asked, which languages it knows."""


@dataclass(frozen=True)
class Beginning:
    """A checkpoint to begin with, and what is kept of it with the revision that comes of it."""

    path: Path | None = None
    told: str | None = None
    row: Mapping[str, Any] = field(default_factory=dict)
    """those of the options of the row that serves it which are inherited"""


def order_of(asked: Mapping[str, Any], dataset: Path, settings: Settings, command: str) -> Order:
    """Return what is to be trained, from what a command or a job says (the fields of `TrainingParameters`).

    Raises InvalidRequest on a name that no profile could have, and as `beginning` and `on_device` do.
    """
    try:
        TypeAdapter(Name).validate_python(asked["name"])  # it will be a folder's
    except ValidationError as error:
        raise InvalidRequest(
            f"the name {asked['name']!r} is to be of lower-case letters, figures, dots, dashes and underscores, at "
            f"most 64"
        ) from error
    begun = beginning(asked["start"], asked["family"], settings, asked["architecture"])
    inherited = {"row": json.dumps(dict(begun.row), sort_keys=True)} if begun.row else {}
    return Order(
        family=asked["family"],
        dataset=dataset,
        name=asked["name"],
        minutes=asked["minutes"],
        rate=asked["rate"],
        patience=asked["patience"],
        options=Options(
            seed=asked["seed"],
            batch=asked["batch"],
            side=asked["side"],
            start=begun.path,
            architecture=asked["architecture"],
            device=on_device(asked["device"]),
            more={**inherited, **asked["options"]},
            limits=settings.image_limits,
        ),
        division=Division(asked["validation"], asked["held_out"], asked["group_by"], asked["split_seed"]),
        parent=begun.told,
        command=command,
    )


def beginning(named: str | None, family: str, settings: Settings, architecture: str | None = None) -> Beginning:
    """Return what `named` means: a file or folder of weights, a row of the profile, a training, or NAME@REVISION.

    Where nothing is named, nor an `architecture`, it is the embedded pack's model of that family, if there is one
    (which that is of YOLO, its learner knows). Raises InvalidRequest where it is a checkpoint of another family,
    NotFound or ModelUnavailable where there is none.
    """
    if named is None:
        rows = {} if architecture or family == "yolo" else _embedded()
        return _begun(rows[family].name, rows[family]) if family in rows else Beginning()
    weighed = weights(named, settings)
    found = candidate(named, settings, family=None if weighed is None else family)
    if found.spec.family != family:
        raise InvalidRequest(f"{named} is a checkpoint of {found.spec.family}, and {family} cannot begin with it")
    return _begun(found.name if weighed is None else found.spec.path.name, found.spec)


def _embedded() -> dict[str, ModelSpec]:
    """Return the rows of the models that ship, by family."""
    rows = load_profile("embedded").profile.models
    return {row.family: row for row in rows if row.source.startswith("embedded:")}


def _begun(name: str, row: ModelSpec) -> Beginning:
    path = fetched(row) if row.hub_id else row.path
    inherited = {key: row.options[key] for key in INHERITED.get(row.family, ()) if key in row.options}
    return Beginning(path, f"{name}@{row.revision}", inherited)


def on_device(named: str) -> str:
    """Return torch's name of a device; `auto` is the first GPU where there is one. Raises InvalidRequest on others."""
    if named == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=named)
    except RuntimeError as error:
        raise InvalidRequest(f"there is no device {named!r} here: {str(error).splitlines()[0]}") from error
    return named
