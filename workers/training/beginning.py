"""What is to be trained, what that begins with and where it computes, from what a command or a job says of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from domain.applications.training.schema import Name
from domain.errors import InvalidRequest
from storage.settings import Settings
from workers.hub import fetched
from workers.training.evaluating.candidate import candidate, weights
from workers.training.learners.learner import Options
from workers.training.sets.splitting import Division
from workers.training.training import Order


@dataclass(frozen=True)
class Beginning:
    """A checkpoint to begin with, and what is kept of it with the revision that comes of it."""

    path: Path | None = None
    told: str | None = None


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
    begun = beginning(asked["start"], asked["family"], settings)
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
            more=asked["options"],
            limits=settings.image_limits,
        ),
        division=Division(asked["validation"], asked["held_out"], asked["group_by"], asked["split_seed"]),
        parent=begun.told,
        command=command,
    )


def beginning(named: str | None, family: str, settings: Settings) -> Beginning:
    """Return what `named` means: a file or folder of weights, a row of the profile, a training, or NAME@REVISION.

    Raises InvalidRequest where it is a checkpoint of another family, NotFound or ModelUnavailable where there is none.
    """
    if named is None:
        return Beginning()
    weighed = weights(named, settings)
    found = candidate(named, settings, family=None if weighed is None else family)
    if found.spec.family != family:
        raise InvalidRequest(f"{named} is a checkpoint of {found.spec.family}, and {family} cannot begin with it")
    path = fetched(found.spec) if found.spec.hub_id else found.spec.path
    return Beginning(path, f"{found.name if weighed is None else path.name}@{found.spec.revision}")


def on_device(named: str) -> str:
    """Return torch's name of a device; `auto` is the first GPU where there is one. Raises InvalidRequest on others."""
    if named == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=named)
    except RuntimeError as error:
        raise InvalidRequest(f"there is no device {named!r} here: {str(error).splitlines()[0]}") from error
    return named
