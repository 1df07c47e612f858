"""The kinds of things in the drawn scenes: what each is called, and how its outline is drawn.

Which colours of which kind are never trained on is told here too, so that no drawing code can mix the two up.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workers.training.worlds import figures, shapes
from workers.training.worlds.outlines import Outline
from workers.training.worlds.palette import COLOURS


@dataclass(frozen=True)
class Kind:
    """A kind of thing. `tilt` is how far it may be turned either way, in degrees."""

    name: str
    draw: Callable[[np.random.Generator], Outline]
    plural: str
    also: tuple[str, ...] = ()
    """Other words for it."""
    tilt: float = 20.0

    def called(self, count: int = 1) -> str:
        """Return its name for so many of it."""
        return self.name if count == 1 else self.plural


def _kind(draw: Callable[[np.random.Generator], Outline], plural: str = "", *also: str, tilt: float = 20.0) -> Kind:
    return Kind(draw.__name__, draw, plural or f"{draw.__name__}s", also, tilt)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _kind(shapes.circle, "", "disc"),
        _kind(shapes.square),
        _kind(shapes.triangle),
        _kind(shapes.star),
        _kind(shapes.heart),
        _kind(shapes.cross, "crosses", "plus sign", tilt=12),
        _kind(figures.house, "", "building"),
        _kind(figures.tree),
        _kind(figures.fish, "fish"),
        _kind(figures.cat, "", "kitten"),
        _kind(figures.horse, "", "pony"),
        _kind(figures.car, "", "automobile"),
    )
}

Pair = tuple[str, str]
"""A colour and a kind."""
_OFFSET = 4
"""Chosen so that the yellow horse is among the unseen."""


def _unseen() -> frozenset[Pair]:
    """Return a colour of every kind, and a second one of every third kind, spread evenly over the colours."""
    names = list(COLOURS)
    first = {(names[(3 * index + _OFFSET) % len(names)], kind) for index, kind in enumerate(KINDS)}
    second = {(names[(7 * index + 1) % len(names)], kind) for index, kind in enumerate(KINDS) if index % 3 == 0}
    return frozenset(first | second)


UNSEEN: frozenset[Pair] = _unseen()
"""Never drawn for training, and never spoken of there."""
PAIRS: tuple[Pair, ...] = tuple((colour, kind) for kind in KINDS for colour in COLOURS)
SEEN: tuple[Pair, ...] = tuple(pair for pair in PAIRS if pair not in UNSEEN)
