"""Data sets in COCO's form: a folder with `annotations.json`, `images/` and, of golden references, `templates/`.

Reading one, in this or another of the layouts of `sets/coco_folder.py`, and writing a drawn one. Masks are written as
uncompressed COCO run lengths, so a drawn data set loses nothing; polygons are read as well.
"""

import json
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar, Self

import cv2
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, ValidationError, field_validator

from domain.errors import InvalidRequest
from domain.geometry import Box, Mask
from workers.imaging.masks import encode
from workers.models.family import Pixels
from workers.training import coco_masks
from workers.training.sets import coco_folder
from workers.training.sets.coco_folder import Part, located, parts
from workers.training.sets.labelled_set import Item, Kind, share_named
from workers.training.worlds.defects import Bits
from workers.training.worlds.surfaces import CLASSES, draw

ANNOTATIONS = coco_folder.ANNOTATIONS
JPEG_QUALITY = 95
Advance = Callable[[], None]
Look = Callable[[Path], Pixels]
"""Reads a picture."""


class _Open(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class CocoImage(_Open):
    """An image of the set; `file_name` is relative to where the set has its pictures."""

    id: int
    file_name: str
    width: int = 0
    """in pixels, as it is shown; 0 where the file does not say"""
    height: int = 0
    template: str | None = None
    """the golden reference that it is compared with, relative to where the set has those"""
    group: str | None = None
    """what it shows a part of (a board, a patient): pictures of one group are never split between shares"""
    split: str | None = None
    """the share that the set itself puts it into: train, val or test"""


class CocoAnnotation(_Open):
    """An object; `bbox` is (x, y, width, height), `segmentation` polygons, run lengths, or absent."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, NonNegativeFloat, NonNegativeFloat]
    segmentation: Any = None
    iscrowd: bool = False
    """whether it stands for many, of which none is told apart: in average precision it neither counts nor costs,
    and nothing is learnt from it"""

    @field_validator("segmentation")
    @classmethod
    def _whole(cls, told: Any) -> Any:  # noqa: ANN401
        return coco_masks.whole(told)

    @property
    def box(self) -> Box:
        """Where it is."""
        x, y, width, height = self.bbox
        return Box(x0=x, y0=y, x1=x + width, y1=y + height)


class CocoCategory(_Open):
    """A class."""

    id: int
    name: str


class CocoFile(_Open):
    """The parts of a COCO instances file that are used here."""

    images: tuple[CocoImage, ...]
    annotations: tuple[CocoAnnotation, ...]
    categories: tuple[CocoCategory, ...]


@dataclass(frozen=True)
class Dataset:
    """A data set: its folder, what its annotations say, and where in the folder its pictures and templates lie."""

    folder: Path
    content: CocoFile
    images: str = "images"
    templates: str = "templates"

    kind: ClassVar[Kind] = Kind.BOXES

    @property
    def place(self) -> Path:
        """See LabelledSet."""
        return self.folder

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of their ids."""
        return tuple(category.name for category in sorted(self.content.categories, key=lambda item: item.id))

    def class_index(self) -> dict[int, int]:
        """Map category ids to positions in `classes`."""
        return {item.id: index for index, item in enumerate(sorted(self.content.categories, key=lambda item: item.id))}

    def path(self, image: CocoImage) -> Path:
        """Where an image lies."""
        return self.folder / self.images / image.file_name

    def template_path(self, image: CocoImage) -> Path | None:
        """Where an image's golden reference lies; None where it has none."""
        return None if image.template is None else self.folder / self.templates / image.template

    @property
    def paired(self) -> bool:
        """Whether every image has a golden reference."""
        return all(image.template is not None for image in self.content.images)

    def pairs(self) -> Iterator[tuple[CocoImage, list[CocoAnnotation]]]:
        """Yield each image with its objects, in the file's order."""
        by_image: dict[int, list[CocoAnnotation]] = {image.id: [] for image in self.content.images}
        for annotation in self.content.annotations:
            by_image[annotation.image_id].append(annotation)
        for image in self.content.images:
            yield image, by_image[image.id]

    def items(self) -> list[Item]:
        """See LabelledSet. Raises InvalidRequest where an image names a share that there is not."""
        return [
            Item(one.file_name, one.group, share_named(one.split, f"{self.folder}, {one.file_name}"))
            for one in self.content.images
        ]

    def part(self, chosen: Sequence[int]) -> Self:
        """See LabelledSet."""
        images = tuple(self.content.images[index] for index in chosen)
        kept = {image.id for image in images}
        annotations = tuple(one for one in self.content.annotations if one.image_id in kept)
        return replace(self, content=self.content.model_copy(update={"images": images, "annotations": annotations}))

    def without_crowds(self) -> Self:
        """Return the set with nothing but objects that are told apart, as they are learnt."""
        single = tuple(one for one in self.content.annotations if not one.iscrowd)
        return replace(self, content=self.content.model_copy(update={"annotations": single}))

    def names(self) -> frozenset[str]:
        """See LabelledSet."""
        there = {one.category_id for one in self.content.annotations}
        return frozenset(one.name for one in self.content.categories if one.id in there)

    def labels(self) -> bytes:
        """See LabelledSet."""
        return self.content.model_dump_json().encode()

    def pictures(self) -> list[Path]:
        """See LabelledSet."""
        templates = {self.template_path(image): None for image in self.content.images}
        return [*map(self.path, self.content.images), *(path for path in templates if path is not None)]


def read(place: Path) -> Dataset:
    """Read a data set: a folder, or its file of annotations.

    Categories of one name are one class. Raises InvalidRequest that names the file where it is missing, is not COCO,
    names an unknown image or class, or a picture outside of the folder.
    """
    found = parts(place)
    if not found:
        raise InvalidRequest(
            f"{place / ANNOTATIONS} does not exist; a data set is a folder with {ANNOTATIONS} and images/"
        )
    if len(found) == 1:
        return _placed(found[0], _content(found[0].file))
    return _united([_placed(part, _content(part.file), from_root=True) for part in found])


def _content(path: Path) -> CocoFile:
    try:
        content = CocoFile.model_validate_json(path.read_bytes().removeprefix(BOM_UTF8))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(f"{path} is not COCO: {first['msg']} at {'.'.join(map(str, first['loc']))}") from error
    images, classes = {item.id for item in content.images}, {item.id for item in content.categories}
    for item in content.annotations:
        if item.image_id not in images or item.category_id not in classes:
            raise InvalidRequest(f"{path}: annotation {item.id} names image {item.image_id}, class {item.category_id}")
    for kind in (content.images, content.annotations, content.categories):
        if len({item.id for item in kind}) < len(kind):
            raise InvalidRequest(f"{path} gives one id to several {type(kind[0]).__name__}s; ids must differ")
    if not content.images or not content.categories:
        raise InvalidRequest(f"{path} holds no images or no categories")
    return _with_names_once(content)


def _with_names_once(content: CocoFile) -> CocoFile:
    """Return the content with one category for each name: of several, that of the lowest id."""
    firsts: dict[str, CocoCategory] = {}
    for one in sorted(content.categories, key=lambda item: item.id):
        firsts.setdefault(one.name, one)
    if len(firsts) == len(content.categories):
        return content
    ids = {one.id: firsts[one.name].id for one in content.categories}
    annotations = tuple(one.model_copy(update={"category_id": ids[one.category_id]}) for one in content.annotations)
    return content.model_copy(update={"categories": tuple(firsts.values()), "annotations": annotations})


def _placed(part: Part, content: CocoFile, *, from_root: bool = False) -> Dataset:
    """Return what a file tells, with where its pictures lie, and in the share that the file is of its set."""
    pictures = located(part, [one.file_name for one in content.images], part.pictures)
    named = [one.template for one in content.images if one.template is not None]
    templates = located(part, named, part.templates)
    if from_root:
        pictures, templates = pictures.from_root(), templates.from_root()
    left = iter(templates.names)
    images = tuple(
        one.model_copy(
            update={
                "file_name": name,
                "template": None if one.template is None else next(left),
                "split": one.split or part.share,
            }
        )
        for one, name in zip(content.images, pictures.names, strict=True)
    )
    told = content.model_copy(update={"images": images})
    return Dataset(part.root, told, pictures.folder, templates.folder)


def _united(sets: Sequence[Dataset]) -> Dataset:
    """Return the files of one set as one, its ids given anew: each file counts from 1."""
    names = list(dict.fromkeys(name for one in sets for name in one.classes))
    images, annotations = list[CocoImage](), list[CocoAnnotation]()
    for one in sets:
        classes = {item.id: names.index(item.name) + 1 for item in one.content.categories}
        ids = {image.id: len(images) + at for at, image in enumerate(one.content.images, start=1)}
        images += (image.model_copy(update={"id": ids[image.id]}) for image in one.content.images)
        annotations += [
            item.model_copy(
                update={
                    "id": len(annotations) + at,
                    "image_id": ids[item.image_id],
                    "category_id": classes[item.category_id],
                }
            )
            for at, item in enumerate(one.content.annotations, start=1)
        ]
    categories = tuple(CocoCategory(id=at, name=name) for at, name in enumerate(names, start=1))
    content = CocoFile(images=tuple(images), annotations=tuple(annotations), categories=categories)
    return Dataset(sets[0].folder, content, ".", ".")


def mask_of(annotation: CocoAnnotation, image: CocoImage) -> Mask:
    """Return an object's mask: from its polygons or run lengths, or its box where it has neither.

    Raises InvalidRequest where they cannot be read, or are of another size than the image.
    """
    return encode(bits(annotation, image))


def runs(annotation: CocoAnnotation, image: CocoImage) -> dict[str, Any]:
    """Return an object's mask as compressed run lengths. Raises InvalidRequest as `mask_of` does."""
    try:
        if not annotation.segmentation:
            return coco_masks.of(Mask.covering(annotation.box, image.height, image.width))
        return coco_masks.compressed(annotation.segmentation, image.height, image.width)
    except ValueError as error:
        raise InvalidRequest(f"annotation {annotation.id} of {image.file_name}: {error}") from error


def sized(look: Look, found: Dataset, image: CocoImage) -> Pixels:
    """Return a picture. Raises InvalidRequest where it is of another size than its objects were drawn on."""
    path = found.path(image)
    pixels = look(path)
    height, width = pixels.shape[:2]
    if (image.width, image.height) not in {(width, height), (0, 0)}:  # of a set that says no sizes, they are 0
        raise InvalidRequest(
            f"{path} is {width} x {height} pixels, and the set says {image.width} x {image.height}, so that its boxes "
            f"lie elsewhere; correct size and boxes in the set, or put the picture there that they were drawn on"
        )
    return pixels


def bits(annotation: CocoAnnotation, image: CocoImage) -> Bits:
    """Return an object's mask as HxW booleans. Raises InvalidRequest as `mask_of` does."""
    return coco_masks.decoded(runs(annotation, image))


def annotation(image_id: int, category_id: int, mask: Mask, **more: int) -> dict[str, Any]:
    """Return an object as COCO writes it: box, area and the mask as uncompressed runs."""
    box = mask.box
    return {
        **more,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [box.x0, box.y0, box.width, box.height],
        "area": mask.area,
        "iscrowd": 0,
        "segmentation": {"size": [mask.height, mask.width], "counts": list(mask.counts)},
    }


def write_drawn(
    out: Path,
    count: int,
    seed: int,
    *,
    textures: Sequence[str],
    size: tuple[int, int] = (256, 256),
    processes: int | None = None,
    advance: Advance = lambda: None,
) -> Dataset:
    """Draw `count` surfaces from seeds `seed … seed + count - 1` into a new data set, on all cores.

    `advance` is called after each picture. Raises InvalidRequest where the folder holds a data set already.
    """
    if (out / ANNOTATIONS).exists():
        raise InvalidRequest(f"{out} holds a data set already; choose another folder or remove it")
    (out / "images").mkdir(parents=True, exist_ok=True)
    one = partial(_write_surface, out / "images", tuple(textures), size)
    objects: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for image, found in pool.map(one, range(seed, seed + count), chunksize=16):
            images.append(image)
            objects.extend(found)
            advance()
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES, start=1)]
    numbered = [{"id": index, **item} for index, item in enumerate(objects, start=1)]
    content = {"images": images, "annotations": numbered, "categories": categories}
    (out / ANNOTATIONS).write_text(json.dumps(content), "utf-8")
    return read(out)


def _write_surface(
    folder: Path, textures: tuple[str, ...], size: tuple[int, int], seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw one surface, write its picture, and return its COCO image and annotations."""
    cv2.setNumThreads(1)
    surface = draw(seed, size=size, textures=textures)
    name = f"{seed:09d}.jpg"
    cv2.imwrite(str(folder / name), surface.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    image = {"id": seed, "file_name": name, "height": size[0], "width": size[1], "texture": surface.texture}
    found = [annotation(seed, CLASSES.index(defect.label) + 1, encode(defect.mask)) for defect in surface.defects]
    return image, found
