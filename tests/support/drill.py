"""A model family without torch that does as the picture's first pixel tells it: the means of every fault drill.

Red 0: one detection at once. 1: the same after `seconds`. 2: never returns. 3: aborts the process in native code.
4: raises. 5: says that memory ran out, which a retry could help. 6: waits at two gates, before and on the device. From
100 on: see `poison.py`. It answers through exactly the path that real families use.

A gate is held where a test has put a file `hold-NAME` into the folder SIGHTLINE_DRILL_GATES (see `gates.py`); whoever
waits there says so with a file `at-NAME`. SIGHTLINE_DRILL_CURED=1 makes every picture harmless: the cause is gone.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.errors import DeviceOutOfMemory, ModelError
from domain.geometry import Box, Polygon
from domain.vision import Capability, Detection, TextRegion
from tests.support import poison
from workers.models.family import Ask, Prepared, ScoreKind
from workers.registry import ModelSpec

QUICK, SLOW, HANG, ABORT, RAISE, STARVE, GATED = range(7)
NUL_IN_TEXT, HUGE_TEXT = 50, 51
"""for the capability `read`: texts that no database stores"""


def gate(name: str) -> None:
    """Wait while a test holds this gate."""
    folder = os.environ.get("SIGHTLINE_DRILL_GATES")
    while folder and (Path(folder) / f"hold-{name}").exists():
        (Path(folder) / f"at-{name}").touch()
        time.sleep(0.01)


class Drill:
    """Detects one `pit` in every picture."""

    preprocessing = "none/1"
    scores = ScoreKind.NONE
    dtype = "none"
    device = "cpu"
    classes = ("scratch", "pit", "crack", "stain", "inclusion")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def prepare(self, ask: Ask) -> Prepared:
        """Read the order from the first pixel."""
        height, width = ask.pictures[0].shape[:2]
        order = 0 if os.environ.get("SIGHTLINE_DRILL_CURED") else int(ask.pictures[0][0, 0, 0])
        if order == GATED:
            gate("prepare")
        poison.prepare(order)
        return Prepared((order, ask.capability, width, height), group=ask.capability, pixels=width * height)

    def run(self, batch: Sequence[Prepared]) -> list[Any]:
        """Do as told, the worst first."""
        orders = {prepared.payload[0] for prepared in batch}
        if RAISE in orders:
            raise ModelError("told to raise")
        if STARVE in orders:
            raise DeviceOutOfMemory("told to starve")
        if ABORT in orders:
            os.abort()
        poison.take(sorted(orders))
        if HANG in orders:
            time.sleep(10_000)
        if SLOW in orders:
            time.sleep(self.seconds)
        if GATED in orders:
            gate("run")
        return [answer for prepared in batch for answer in self._answers(*prepared.payload)]

    def _answers(self, order: int, capability: Capability, width: int, height: int) -> list[Any]:
        if capability is Capability.READ:
            return [_texts(order)]
        box = Box(x0=1, y0=1, x1=width - 1, y1=height - 1)
        return poison.answers(order, (Detection(label="pit", score=0.9, box=box),))

    def close(self) -> None:
        """Nothing to release."""


def _texts(order: int) -> tuple[TextRegion, ...]:
    text = {NUL_IN_TEXT: "EXIT\x00", HUGE_TEXT: "x" * 20_000_000}.get(order, "EXIT")
    return (TextRegion(quad=Polygon(points=((1, 1), (20, 1), (20, 9), (1, 9))), text=text, confidence=0.9),)


def load(spec: ModelSpec) -> Drill:
    """Return the drill; the option `seconds` says how slow SLOW is."""
    if spec.options.get("gated"):
        gate("load")
    return Drill(float(spec.options.get("seconds", 1.0)))
