"""Measuring a model that fails: it leaves nothing behind for the next one's figures."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from domain.errors import DeviceOutOfMemory
from workers.bench import measure
from workers.models.family import Ask, Prepared, ScoreKind
from workers.registry import ModelSpec


class Once:
    """A model for whose second batch there is no memory."""

    preprocessing, dtype, device, classes, scores = "none/1", "none", "cpu", (), ScoreKind.NONE

    def __init__(self) -> None:
        self.batches = 0

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(None, "g", 1)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        self.batches += 1
        if self.batches > 1:
            raise DeviceOutOfMemory("nothing is left")
        return [None for _ in batch]

    def close(self) -> None:
        """Nothing to release."""


def load(_: ModelSpec) -> Once:
    """Load it: this module is its family."""
    return Once()


def test_a_model_that_cannot_be_measured_leaves_no_thread() -> None:
    # given a model that answers once and then runs out of memory
    told = {"capabilities": ("detect",), "source": "none", "revision": "1", "licence": "none"}
    spec = ModelSpec.model_validate({"name": "once", "family": __name__, **told})
    # when it is measured
    with pytest.raises(DeviceOutOfMemory, match="nothing is left"):
        measure(spec, 0.1, 1)
    # then its error is told, and the thread of its device has ended
    assert "device-bench" not in {thread.name for thread in threading.enumerate()}
