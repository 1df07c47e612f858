"""A set of labelled lines: labels, questions, phrases, texts, drafts or translations."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from workers.labelled import (
    LabelledDraft,
    LabelledImage,
    LabelledLine,
    LabelledPhrase,
    LabelledPicture,
    LabelledQuestion,
    LabelledText,
    LabelledTranslation,
    read_lines,
)
from workers.training.sets.labelled_set import Item, Kind, share_named

KINDS: Mapping[type[LabelledLine], Kind] = {
    LabelledPicture: Kind.LABELS,
    LabelledQuestion: Kind.ANSWERS,
    LabelledText: Kind.READING,
    LabelledDraft: Kind.DRAFTS,
    LabelledPhrase: Kind.PHRASES,
    LabelledTranslation: Kind.TRANSLATION,
}


@dataclass(frozen=True)
class Lines:
    """Lines of one kind, from a file; `lines` holds one at least, its pictures with their whole paths."""

    place: Path
    kind: Kind
    lines: tuple[LabelledLine, ...]

    def items(self) -> Sequence[Item]:
        """See LabelledSet. Raises InvalidRequest where a line names a share that there is not."""
        return [Item(key, line.group, share_named(line.split, f"{self.place}, {key}")) for key, line in self._keyed()]

    def part(self, chosen: Sequence[int]) -> Self:
        """See LabelledSet."""
        return type(self)(self.place, self.kind, tuple(self.lines[index] for index in chosen))

    def names(self) -> frozenset[str]:
        """See LabelledSet."""
        return frozenset(line.label for line in self.lines if isinstance(line, LabelledPicture))

    def labels(self) -> bytes:
        """See LabelledSet."""
        told = (line.model_dump(mode="json", exclude={"image"}) | {"key": key} for key, line in self._keyed())
        return "\n".join(json.dumps(line, sort_keys=True) for line in told).encode()

    def pictures(self) -> Sequence[Path]:
        """See LabelledSet."""
        return [line.image for line in self.lines if isinstance(line, LabelledImage)]

    def _keyed(self) -> list[tuple[str, LabelledLine]]:
        return [(_key(line, self.place.parent), line) for line in self.lines]


def read(file: Path) -> Lines:
    """Read a set of lines. Raises InvalidRequest that names the file and the line."""
    lines = tuple(read_lines(file))
    return Lines(file, KINDS[type(lines[0])], lines)


def _key(line: LabelledLine, folder: Path) -> str:
    if isinstance(line, LabelledImage):
        within = line.image.is_relative_to(folder)
        return str(line.image.relative_to(folder) if within else line.image)
    assert isinstance(line, LabelledTranslation)
    return line.source
