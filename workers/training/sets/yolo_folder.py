"""YOLO folders: pictures under `images/`, and for each a text of the same name under `labels/`, a line per object.

`data.yaml` names the classes and, where the set divides itself, the folders of the shares; without one, `classes.txt`
does, or classes are called by their numbers. Read into the form of COCO, which everything else works on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from typing import Any

import yaml

from domain.errors import InvalidRequest
from workers.training.coco import CocoAnnotation, CocoCategory, CocoFile, Dataset
from workers.training.sets.labelled_set import NAMES, Share
from workers.training.sets.texts import text_of
from workers.training.sets.yolo_labels import image, lines, objects

DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml")
IMAGES, LABELS, CLASSES = "images", "labels", "classes.txt"
PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
SHARES: Mapping[str, Share] = {"train": Share.TRAIN, "val": Share.VALIDATION, "test": Share.HELD_OUT}
"""What data.yaml calls them."""


@dataclass(frozen=True)
class _Picture:
    """A picture of the set, the share that the set puts it into, and where its objects lie."""

    path: Path
    share: Share | None
    labels: Path


def description(folder: Path) -> Path | None:
    """Return the file that describes a YOLO folder, if there is one: by its name, or by what it says.

    Raises InvalidRequest where several of other names do.
    """
    named = next((folder / name for name in DESCRIPTIONS if (folder / name).is_file()), None)
    if named is not None:
        return named
    others = sorted(file for suffix in ("yaml", "yml") for file in folder.glob(f"*.{suffix}") if _describes(file))
    if len(others) > 1:
        raise InvalidRequest(f"{folder} holds several sets: {', '.join(one.name for one in others)}; name one")
    return others[0] if others else None


def _describes(file: Path) -> bool:
    try:
        told = yaml.safe_load(text_of(file))
    except (InvalidRequest, yaml.YAMLError):
        return False  # a text of something else
    return isinstance(told, dict) and bool(told.get("names")) and bool(told.get("train"))


def read(place: Path) -> Dataset:
    """Read a YOLO folder, or the set that a description (`data.yaml`, whatever it is called) tells of.

    Raises InvalidRequest that names the file, its line where it has one, and what to do; ImageTooLarge.
    """
    told = place if place.is_file() else description(place)
    root, names, pictures = _described(told) if told else _plain(place)
    if not pictures:
        raise InvalidRequest(f"{told or place} names no pictures; they are to lie under {root / IMAGES}")
    if not any(picture.labels.exists() for picture in pictures):
        raise InvalidRequest(f"{root} has no labels: {pictures[0].path} is to have its objects in {pictures[0].labels}")
    images, annotations = [], list[CocoAnnotation]()
    for number, picture in enumerate(pictures, start=1):
        images.append(image(number, picture.path, root, picture.share))
        annotations += [
            CocoAnnotation(id=len(annotations) + at, image_id=number, **shape)
            for at, shape in enumerate(objects(picture.labels, images[-1], names), start=1)
        ]
    categories = tuple(CocoCategory(id=number, name=names[number]) for number in sorted(names))
    return Dataset(root, CocoFile(images=tuple(images), annotations=tuple(annotations), categories=categories), ".")


Found = tuple[Path, Mapping[int, str], list[_Picture]]


def _described(file: Path) -> Found:
    """Read data.yaml: where the set lies, its classes, its pictures."""
    try:
        told = yaml.safe_load(text_of(file))
    except yaml.YAMLError as error:
        raise InvalidRequest(f"{file} is no YAML: {error}") from error
    if not isinstance(told, dict) or not any(told.get(name) for name in SHARES):
        raise InvalidRequest(f"{file} is to name the folders of the pictures as {', '.join(SHARES)}")
    root = file.parent / str(told.get("path") or "")
    if not root.is_dir():
        root = file.parent  # it was written where the set lay then
    pictures = [
        picture
        for name, share in SHARES.items()
        for named in _several(told.get(name))
        for place in _located(root, str(named), file, needed=name == "train")
        for picture in _listed(place, share)
    ]
    return root, _classes(told.get("names"), file), _divided(pictures)


def _divided(pictures: Sequence[_Picture]) -> list[_Picture]:
    """Return each picture once, in the share that names it first; in none where all are in one."""
    once: dict[Path, _Picture] = {}
    for picture in pictures:
        once.setdefault(picture.path, picture)
    if len({picture.share for picture in once.values()}) > 1:
        return list(once.values())
    return [_Picture(picture.path, None, picture.labels) for picture in once.values()]


def _plain(folder: Path) -> Found:
    """Read a folder without data.yaml; folders of images/ that are called as shares are these."""
    pictures = []
    for path in _within(folder / IMAGES):
        top = path.relative_to(folder / IMAGES).parts[0]
        pictures.append(_Picture(path, NAMES.get(top.lower()), _labels_of(path)))
    pictures = _divided(pictures)
    file = next((place / CLASSES for place in (folder, folder / LABELS) if (place / CLASSES).is_file()), None)
    if file is not None:
        return folder, _classes(text_of(file).split("\n"), file), pictures
    numbers = {line.split()[0] for one in pictures for _, line in lines(one.labels) if line.split()[0].isdecimal()}
    return folder, {int(number): number for number in sorted(numbers, key=int)}, pictures


def _several(told: Any) -> Sequence[Any]:  # noqa: ANN401  (whatever the file says)
    return told if isinstance(told, list) else [told] if told else []


def _located(root: Path, place: str, file: Path, *, needed: bool) -> list[Path]:
    """Return a folder, or a list of pictures, that data.yaml names; a leading `../` is a habit of one exporter.

    None where it is not there and not needed: exporters name shares that they leave out.
    """
    for path in (root / place, root / place.removeprefix("../")):
        if path.exists():
            return [Path(normpath(path))]
    if not needed:
        return []
    raise InvalidRequest(f"{file} names {place}, and {root / place} does not exist; correct it, or put it there")


def _listed(place: Path, share: Share) -> Iterator[_Picture]:
    if place.is_dir():
        paths = _within(place)
    else:
        paths = [place.parent / line.strip() for line in text_of(place).split("\n") if line.strip()]
    return (_Picture(path, share, _labels_of(path)) for path in paths)


def _within(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


def _labels_of(picture: Path) -> Path:
    """Return where a picture's objects lie: the last `images` of its path becomes `labels`."""
    parts = list(picture.parts)
    places = [at for at, part in enumerate(parts) if part == IMAGES]
    if places:
        parts[places[-1]] = LABELS
    return Path(*parts).with_suffix(".txt")


def _classes(told: Any, file: Path) -> dict[int, str]:  # noqa: ANN401  (whatever the file says)
    if isinstance(told, dict):
        pairs = list(told.items())
    elif isinstance(told, list):
        pairs = [(number, name) for number, name in enumerate(told) if str(name).strip()]
    else:
        raise InvalidRequest(f"{file} names no classes; give `names`, a list or a number and a name in each line")
    try:
        return {int(number): str(name).strip() for number, name in pairs}
    except ValueError as error:
        raise InvalidRequest(f"{file}: the classes are to have whole numbers: {error}") from error
