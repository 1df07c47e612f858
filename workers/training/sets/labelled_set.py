"""What every labelled set can tell, whatever its form: what it asks for, what it holds, and parts of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Protocol, Self

from domain.errors import InvalidRequest
from workers.training.measures.evaluation import Kind

__all__ = ["Item", "Kind", "LabelledSet", "Share", "share_named"]


class Share(StrEnum):
    """What a part of a set is for."""

    TRAIN = "train"
    """learnt from"""
    VALIDATION = "validation"
    """measured in the course of a training, to keep the best weights and to stop early"""
    HELD_OUT = "held-out"
    """measured once, after it"""


NAMES = {
    "train": Share.TRAIN,
    "training": Share.TRAIN,
    "val": Share.VALIDATION,
    "valid": Share.VALIDATION,
    "validation": Share.VALIDATION,
    "test": Share.HELD_OUT,
    "held-out": Share.HELD_OUT,
}
"""What sets call their shares."""


def share_named(name: str | None, place: str) -> Share | None:
    """Return the share of that name; None of no name. Raises InvalidRequest, with the place, of another."""
    if name is None:
        return None
    try:
        return NAMES[name.lower()]
    except KeyError:
        raise InvalidRequest(f"{place}: the split {name!r} is none of {', '.join(NAMES)}") from None


@dataclass(frozen=True)
class Item:
    """A picture with its objects, or a line."""

    key: str
    """its picture's path, as the set gives it, or its text where it has none: another's key is another thing"""
    group: str | None
    """as the set tells it"""
    share: Share | None
    """where the set divides itself"""

    @property
    def name(self) -> str:
        """Its file's name."""
        return PurePath(self.key).name


class LabelledSet(Protocol):
    """A labelled set. `coco.Dataset` and `lines.Lines` are such."""

    @property
    def place(self) -> Path:
        """Its folder or file."""

    @property
    def kind(self) -> Kind:
        """What it asks for."""

    def items(self) -> Sequence[Item]:
        """Return what it holds, in its own order."""

    def part(self, chosen: Sequence[int]) -> Self:
        """Return the set of these items alone, by their places in `items`."""

    def names(self) -> frozenset[str]:
        """Return the classes of its objects, or the labels of its pictures; none of a set that has neither."""

    def labels(self) -> bytes:
        """Return all that it says of its pictures, in a form that does not hang on how it was written."""

    def pictures(self) -> Sequence[Path]:
        """Return the files that it speaks of, golden references with them."""
