"""A model family like the drill, but without its orders: a stranger's first pixel may be any, and must not tell a
worker to hang or to abort.
"""

from collections.abc import Sequence

from domain.geometry import Box
from domain.vision import Detection
from workers.models.family import Ask, Prepared, ScoreKind
from workers.registry import ModelSpec


class Calm:
    """Detects one `pit`, as large as the picture."""

    preprocessing = "none/1"
    dtype = "none"
    scores = ScoreKind.NONE
    device = "cpu"
    classes = ("scratch", "pit", "crack", "stain", "inclusion")

    def prepare(self, ask: Ask) -> Prepared:
        """Read nothing from the picture but its size."""
        height, width = ask.pictures[0].shape[:2]
        return Prepared((width, height), group="calm", pixels=width * height)

    def run(self, batch: Sequence[Prepared]) -> list[tuple[Detection, ...]]:
        """Answer at once."""
        boxes = [Box(x0=0, y0=0, x1=prepared.payload[0], y1=prepared.payload[1]) for prepared in batch]
        return [(Detection(label="pit", score=0.9, box=box),) for box in boxes]

    def close(self) -> None:
        """Nothing to release."""


def load(_spec: ModelSpec) -> Calm:
    """Return it."""
    return Calm()
