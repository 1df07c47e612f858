"""Revisions of trained models, for tests that need some."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from storage import revisions
from storage.promotions import Promotion, Why, promote
from storage.revisions import Facts, Measured, Revision
from storage.session import write

WHY = Why(by="ada", because="it finds more")


def facts(name: str = "boards", **more: Any) -> Facts:
    """Return how a revision came to be."""
    told: dict[str, Any] = {
        "name": name,
        "family": "yolo",
        "capabilities": ("detect",),
        "licence": "none",
        "command": f"sightline train yolo set --name {name}",
        "seed": 0,
        "data_hash": "sha256:data",
        "split": {"by": "group", "train": 8, "validation": 1, "held_out": 1},
        "metrics": {"map50": 0.5},
        "duration_s": 60.0,
        "hardware": "2 cores",
    }
    return Facts.model_validate({**told, **more})


def digits(letter: str) -> str:
    """Return a revision whose digits are all the same."""
    return f"sha256:{letter * 16}"


def known(engine: Engine, letter: str = "a", name: str = "boards", **more: Any) -> Revision:
    """Note a revision and return it."""
    return write(engine, revisions.add, digits(letter), facts(name, **more))


def measured(metrics: Mapping[str, float] | None = None, data_hash: str = "sha256:held-out") -> Measured:
    """Return what was measured of a revision."""
    return Measured(dataset="held-out", data_hash=data_hash, metrics=metrics or {"map50": 0.9}, report={"count": 3})


def evaluated(engine: Engine, letter: str = "a", name: str = "boards") -> Revision:
    """Note a revision that was measured, and return it."""
    revision = known(engine, letter, name)
    write(engine, revisions.attach, revision, measured())
    return revision


def promoted(engine: Engine, letter: str = "a", name: str = "boards") -> Promotion:
    """Have a revision of these digits served."""
    return write(engine, promote, evaluated(engine, letter, name), WHY)
