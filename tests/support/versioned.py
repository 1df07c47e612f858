"""A family whose revisions do what their file says: find a thing of some name, raise, exit, hang, or not even load.

A module of its own name, as an operator's family is: `family = "tests.support.versioned"`.
"""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.errors import ModelError
from domain.geometry import Box
from domain.vision import Detection
from storage import revisions
from storage.promotions import promote
from storage.revisions import Revision
from storage.session import connect, write
from storage.settings import Settings
from tests.support.revisions import WHY, facts, measured
from workers.hub import verify
from workers.models.family import Ask, Prepared, ScoreKind
from workers.registry import ModelSpec
from workers.training.registering import register

FAMILY = "tests.support.versioned"
NAME = "finder"
WEIGHTS = "model.safetensors"
BOX = Box(x0=1, y0=1, x1=31, y1=31)
BOUND_S = 10.0

closed: list[str] = []
"""what was closed, in order"""
hung = threading.Event()
"""set by a model that hangs"""
released = threading.Event()
"""lets it go on"""


def load(spec: ModelSpec) -> "Versioned":
    """Load a revision; what it does is the text of its weights."""
    verify(spec, spec.path)
    does = json.loads((spec.path / WEIGHTS).read_text("utf-8"))
    if does == "refuse":
        raise RuntimeError("these weights are torn")
    return Versioned(does)


class Versioned:
    """Finds one thing in every picture, under the name that its weights say."""

    preprocessing, dtype, device, scores = "none/1", "none", "cpu", ScoreKind.NONE
    classes = ("scratch", "pit", "crack", "stain", "inclusion")

    def __init__(self, does: str) -> None:
        self.does = does

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(None, "g", 1)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        if self.does == "raise":
            raise ModelError("it cannot")
        if self.does == "exit":
            raise SystemExit(3)
        if self.does == "hang":
            hung.set()
            assert released.wait(BOUND_S)
        return [(Detection(label=self.does, score=0.9, box=BOX),) for _ in batch]

    def close(self) -> None:
        closed.append(self.does)


def row(revision: str = "promoted", **more: Any) -> ModelSpec:
    """Return a profile's row that serves what is promoted."""
    told = {
        "family": FAMILY,
        "capabilities": ("detect",),
        "source": f"registered:{NAME}",
        "licence": "none",
        "device": "cpu",
    }
    return ModelSpec.model_validate({"name": "inspector", "revision": revision, "max_wait_ms": 0, **told, **more})


def trained(settings: Settings, does: str) -> Revision:
    """Register a revision that does this, and note a measurement of it."""
    folder = Path(settings.data) / "runs" / does
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_text(json.dumps(does), "utf-8")
    revision = register(settings, folder, facts(NAME, family=FAMILY, command=f"train {does}"))
    engine = connect(settings.database_url)
    write(engine, revisions.attach, revision, measured())
    engine.dispose()
    return revision


def served(settings: Settings, does: str) -> Revision:
    """Register a revision that does this, and have it served."""
    revision = trained(settings, does)
    engine = connect(settings.database_url)
    write(engine, promote, revision, WHY)
    engine.dispose()
    return revision
