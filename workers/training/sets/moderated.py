"""A set for moderation: pictures, and of each all labels of a policy that apply to it, from lines or from folders."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError

from domain.applications.moderation.parameters import MOST_TEXT
from domain.applications.moderation.policy import DEFAULT_SURFACE
from domain.errors import InvalidRequest
from workers.labelled import LabelledImage
from workers.training.sets.labelled_set import Item, Kind, share_named
from workers.training.sets.yolo_folder import PICTURES

LINES = "labels.jsonl"
NOTHING = "none"
"""The folder of pictures to which no label applies."""
FORMS = (
    f'a folder with {LINES}, each line such as {{"image": "images/a.png", "labels": ["no-entry"]}}, or a folder with a '
    f"folder of pictures for each label, and {NOTHING}/ for those to which none applies"
)


class ModeratedPicture(LabelledImage):
    """A picture, what it came with, and all labels that apply to it; none: nothing applies."""

    labels: tuple[str, ...]
    text: str = Field(default="", max_length=MOST_TEXT)
    surface: str = DEFAULT_SURFACE


@dataclass(frozen=True)
class Moderated:
    """Pictures with their labels, one at least, with their whole paths."""

    place: Path
    lines: tuple[ModeratedPicture, ...]
    kind: Kind = Kind.DECISIONS

    def items(self) -> Sequence[Item]:
        """See LabelledSet. Raises InvalidRequest where a line names a share that there is not."""
        return [Item(key, one.group, share_named(one.split, f"{self.place}, {key}")) for key, one in self.keyed()]

    def part(self, chosen: Sequence[int]) -> Self:
        """See LabelledSet."""
        return type(self)(self.place, tuple(self.lines[index] for index in chosen))

    def names(self) -> frozenset[str]:
        """See LabelledSet."""
        return frozenset(label for one in self.lines for label in one.labels)

    def labels(self) -> bytes:
        """See LabelledSet."""
        told = (
            {**one.model_dump(mode="json", exclude={"image"}), "labels": sorted(set(one.labels)), "key": key}
            for key, one in self.keyed()
        )
        return "\n".join(json.dumps(line, sort_keys=True) for line in told).encode()

    def pictures(self) -> Sequence[Path]:
        """See LabelledSet."""
        return [one.image for one in self.lines]

    def keyed(self) -> Iterator[tuple[str, ModeratedPicture]]:
        """Yield each picture with its path within the folder, where it lies there."""
        for one in self.lines:
            within = one.image.is_relative_to(self.place)
            yield str(one.image.relative_to(self.place) if within else one.image), one


def read(path: Path) -> Moderated:
    """Read the set in a folder, or of a file of lines. Raises InvalidRequest that names the file and the line."""
    if not path.exists():
        raise InvalidRequest(f"{path} does not exist; a set for moderation is {FORMS}")
    file = path / LINES if path.is_dir() else path
    lines = tuple(_lines(file) if file.is_file() else _folders(path))
    if not lines:
        raise InvalidRequest(f"{path} holds no labelled picture; a set for moderation is {FORMS}")
    return Moderated(file.parent, lines)


def _lines(file: Path) -> Iterator[ModeratedPicture]:
    try:
        texts = file.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} is no text of labelled lines, a JSON object in each: {error}") from error
    for number, text in enumerate(texts, start=1):
        if text.strip():
            line = _line(text, f"{file}, line {number}")
            yield line.model_copy(update={"image": file.parent / line.image})


def _line(text: str, place: str) -> ModeratedPicture:
    try:
        return ModeratedPicture.model_validate(json.loads(text))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'line'}: {one['msg']}" for one in error.errors())
        raise InvalidRequest(f"{place}: {wrong}") from error
    except ValueError as error:
        raise InvalidRequest(f"{place} is no JSON: {error}") from error


def _folders(place: Path) -> Iterator[ModeratedPicture]:
    for folder in sorted(one for one in place.iterdir() if one.is_dir()):
        labels = () if folder.name == NOTHING else (folder.name,)
        for picture in sorted(folder.rglob("*")):
            if picture.suffix.lower() in PICTURES:
                yield ModeratedPicture(image=picture, labels=labels)
