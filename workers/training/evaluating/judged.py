"""What comes of judging a set: its figures, the confusion behind them, and each answer, to show the worst of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domain.geometry import Box

Figures = Mapping[str, float | None]
Advance = Callable[[], None]


@dataclass(frozen=True)
class Marked:
    """A box to be drawn on a picture: what it is said to be, and whether that is so."""

    box: Box
    label: str
    right: bool
    there: bool
    """of those that are there, and not of those that were found"""


@dataclass(frozen=True)
class Case:
    """One answer. `badness` orders cases: 0 where all is right, the worst have most."""

    name: str
    badness: float
    right: str
    answered: str
    picture: Path | None = None
    question: str = ""
    marked: Sequence[Marked] = ()


@dataclass(frozen=True)
class Confusion:
    """How often what is (a row for each) was called what (a column for each)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """The figures of a set, as `measures.evaluation.Evaluation` has them, and what they were made of."""

    count: int
    metrics: Figures
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    per_class: Mapping[str, Figures] = field(default_factory=dict)
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    confusion: Confusion | None = None
    cases: Sequence[Case] = ()
