"""How COCO sets lie on disk: which files hold the annotations, and where the pictures are that these name.

As this project writes them (`annotations.json`, `images/`, `templates/`), as Label Studio does (`file_name` with the
folder in it), CVAT and COCO itself (`annotations/instances_*.json`), and Roboflow (`_annotations.coco.json` beside the
pictures, in a folder for each share). Nothing is read here but names, and no path leaves the set's folder.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from domain.errors import InvalidRequest
from workers.training.sets.labelled_set import NAMES

ANNOTATIONS, INSTANCES, ROBOFLOW = "annotations.json", "annotations/instances_*.json", "_annotations.coco.json"
IMAGES, TEMPLATES = "images", "templates"


@dataclass(frozen=True)
class Part:
    """A file of annotations, the share that it is in its set, and the folders, from the root, that it may name."""

    root: Path
    file: Path
    pictures: tuple[str, ...] = (IMAGES, ".")
    templates: tuple[str, ...] = (TEMPLATES, ".")
    share: str | None = None


def parts(place: Path) -> list[Part]:
    """Return the files of annotations of a set: a folder, or the one file of a path to it; none where there is none."""
    found = [_of_file(place)] if place.is_file() else _within(place)
    return found if len(found) > 1 else [replace(part, share=None) for part in found]


def _of_file(file: Path) -> Part:
    return _instances(file) if file.match(INSTANCES) else Part(file.parent, file)


def _within(folder: Path) -> list[Part]:
    if (folder / ANNOTATIONS).is_file():
        return [Part(folder, folder / ANNOTATIONS)]
    if (folder / ROBOFLOW).is_file():
        return [Part(folder, folder / ROBOFLOW)]
    instances = [_instances(file) for file in sorted(folder.glob(INSTANCES))]
    named = [file for file in sorted(folder.glob(f"*/{ROBOFLOW}")) if file.parent.name.lower() in NAMES]
    return instances or [_of_share(folder, file) for file in named]


def _instances(file: Path) -> Part:
    name = file.stem.removeprefix("instances_")
    share = re.sub(r"\d+$", "", name)  # COCO's own are called train2017
    places = (f"{IMAGES}/{name}", IMAGES, name, ".")
    return Part(file.parent.parent, file, places, share=share if share.lower() in NAMES else None)


def _of_share(root: Path, file: Path) -> Part:
    name = file.parent.name
    return Part(root, file, (name, f"{name}/{IMAGES}"), (f"{name}/{TEMPLATES}", TEMPLATES, name, "."), name)


@dataclass(frozen=True)
class Found:
    """Where files lie: by their names as they are given, from one folder of the set."""

    folder: str
    names: tuple[str, ...]

    def from_root(self) -> "Found":
        """Return the same from the root."""
        return Found(".", tuple((PurePath(self.folder) / name).as_posix() for name in self.names))


def located(part: Part, names: Sequence[str], places: Sequence[str]) -> Found:
    """Find files that a set names. One that is nowhere counts as in the first place, where it will be missed.

    Raises InvalidRequest where a name leads out of the set's folder.
    """
    chosen = [_place(part, name, places) for name in names]
    there = {place for place in chosen if place is not None}
    if len(there) <= 1:
        return Found(next(iter(there), places[0]), tuple(names))
    paths = (PurePath(place or places[0]) / name for place, name in zip(chosen, names, strict=True))
    return Found(".", tuple(path.as_posix() for path in paths))


def _place(part: Part, name: str, places: Sequence[str]) -> str | None:
    root = Path(os.path.abspath(part.root))  # noqa: PTH100  (a link within the set may lead elsewhere)
    inside = [place for place in places if Path(os.path.abspath(root / place / name)).is_relative_to(root)]  # noqa: PTH100
    if not inside:
        raise InvalidRequest(f"{part.file} names {name}, which lies outside of {part.root}: put it into that folder")
    return next((place for place in inside if (root / place / name).is_file()), None)
