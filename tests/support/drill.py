"""A model family without torch that does as the picture's first pixel tells it: the means of every fault drill.

Red 0: one detection at once. 1: the same after `seconds`. 2: never returns. 3: aborts the process in native code.
4: raises. 5: says that memory ran out, which a retry could help. It answers through exactly the path that real
families use.
"""

import os
import time
from collections.abc import Sequence

from domain.errors import DeviceOutOfMemory, ModelError
from domain.geometry import Box
from domain.vision import Detection
from workers.models.family import Ask, Prepared
from workers.registry import ModelSpec

QUICK, SLOW, HANG, ABORT, RAISE, STARVE = range(6)


class Drill:
    """Detects one `pit` in every picture."""

    preprocessing = "none/1"
    dtype = "none"
    device = "cpu"
    classes = ("scratch", "pit", "crack", "stain", "inclusion")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def prepare(self, ask: Ask) -> Prepared:
        """Read the order from the first pixel."""
        height, width = ask.pictures[0].shape[:2]
        return Prepared((int(ask.pictures[0][0, 0, 0]), width, height), group="drill", pixels=width * height)

    def run(self, batch: Sequence[Prepared]) -> list[tuple[Detection, ...]]:
        """Do as told, the worst first."""
        orders = {prepared.payload[0] for prepared in batch}
        if RAISE in orders:
            raise ModelError("told to raise")
        if STARVE in orders:
            raise DeviceOutOfMemory("told to starve")
        if ABORT in orders:
            os.abort()
        if HANG in orders:
            time.sleep(10_000)
        if SLOW in orders:
            time.sleep(self.seconds)
        return [self._answer(width, height) for _, width, height in (prepared.payload for prepared in batch)]

    def _answer(self, width: int, height: int) -> tuple[Detection, ...]:
        return (Detection(label="pit", score=0.9, box=Box(x0=1, y0=1, x1=width - 1, y1=height - 1)),)

    def close(self) -> None:
        """Nothing to release."""


def load(spec: ModelSpec) -> Drill:
    """Return the drill; the option `seconds` says how slow SLOW is."""
    return Drill(float(spec.options.get("seconds", 1.0)))
