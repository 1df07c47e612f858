"""COCO files from elsewhere that are to be judged: ground truth and results. What is wrong is named by its place."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from domain.errors import InvalidRequest
from workers.training import coco_masks
from workers.training.measures.coco_figures import Shape

Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Place = Annotated[float, Field(allow_inf_nan=False)]
Bbox = tuple[Place, Place, Size, Size]
"""x, y, width, height."""


class _Open(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Image(_Open):
    """A picture; its size is needed for masks alone."""

    id: int
    height: int | None = None
    width: int | None = None


class Category(_Open):
    """A class."""

    id: int
    name: str = ""


class Annotation(_Open):
    """What is there."""

    image_id: int
    category_id: int
    bbox: Bbox | None = None
    segmentation: Any = None
    area: Size | None = None
    iscrowd: bool = False


class Result(_Open):
    """What was found."""

    image_id: int
    category_id: int
    score: Place
    bbox: Bbox | None = None
    segmentation: Any = None


class _Truth(_Open):
    images: list[Image] = Field(min_length=1)
    annotations: list[Annotation]
    categories: list[Category] = Field(min_length=1)


RESULTS = TypeAdapter(list[Result])


def read_truth(file: Path, shape: Shape) -> dict[str, Any]:
    """Read ground truth, with annotations numbered anew from 1 (COCO's judge takes an id of 0 for `none`).

    Raises InvalidRequest that names the file and the place.
    """
    told = _read(file, TypeAdapter(_Truth))
    for name, ids in (("image", [one.id for one in told.images]), ("category", [one.id for one in told.categories])):
        if len(set(ids)) < len(ids):
            raise InvalidRequest(f"{file} gives one {name} id to several; they must differ")
    images = {image.id: image for image in told.images}
    classes = {category.id for category in told.categories}
    objects = []
    for index, one in enumerate(told.annotations):
        place = f"{file}: annotations[{index}]"
        if one.category_id not in classes:
            raise InvalidRequest(f"{place} names the category {one.category_id}, which is not among the categories")
        image = _image(one, images, place)
        facts = {"id": index + 1, "image_id": image.id, "category_id": one.category_id, "iscrowd": int(one.iscrowd)}
        objects.append(facts | _truth_shape(one, image, shape, place))
    return {
        "images": [image.model_dump() for image in told.images],
        "annotations": objects,
        "categories": [category.model_dump() for category in told.categories],
    }


def read_results(file: Path, truth: dict[str, Any], shape: Shape) -> list[dict[str, Any]]:
    """Read results for the pictures of this ground truth.

    As COCO's judge has it, areas are those of the boxes where results have boxes, otherwise those of the masks. Raises
    InvalidRequest that names the file and the place.
    """
    images = {one["id"]: Image.model_validate(one) for one in truth["images"]}
    told = _read(file, RESULTS)
    boxed = all(one.bbox is not None for one in told)
    found = []
    for index, one in enumerate(told):
        place = f"{file}: [{index}]"
        image = _image(one, images, place)
        facts = {"image_id": image.id, "category_id": one.category_id, "score": one.score}
        if boxed:
            facts["bbox"] = list(one.bbox)
        if shape is Shape.SEGM or not boxed:
            facts["segmentation"] = _compressed(one.segmentation, image, place)
        found.append(facts)
    return found


def _image(one: Annotation | Result, images: dict[int, Image], place: str) -> Image:
    if one.image_id not in images:
        raise InvalidRequest(f"{place} names the image {one.image_id}, which is not among the images")
    return images[one.image_id]


def _truth_shape(one: Annotation, image: Image, shape: Shape, place: str) -> dict[str, Any]:
    """Return the box, or the runs, and the area of what is there; the area is measured where the file has none."""
    if shape is Shape.BBOX and one.bbox is not None:
        return {"bbox": list(one.bbox), "area": one.bbox[2] * one.bbox[3] if one.area is None else one.area}
    runs = _compressed(one.segmentation, image, place)
    area = coco_masks.area(runs) if one.area is None else one.area
    return {"segmentation": runs, "bbox": coco_masks.bbox(runs), "area": area}


def _compressed(segmentation: Any, image: Image, place: str) -> dict[str, Any]:  # noqa: ANN401  (as COCO has it)
    """Return a segmentation's run lengths; raises InvalidRequest where there is none, or a bad one."""
    if not segmentation:
        raise InvalidRequest(f"{place} has no segmentation; boxes alone are judged where each object has one")
    if image.height is None or image.width is None:
        raise InvalidRequest(f"{place} has a segmentation, and its image no height and width, which that needs")
    try:
        return coco_masks.compressed(segmentation, image.height, image.width)
    except ValueError as error:
        raise InvalidRequest(f"{place}: the segmentation cannot be read: {error}") from error


def _read(file: Path, adapter: TypeAdapter[Any]) -> Any:  # noqa: ANN401  (what the adapter reads)
    try:
        return adapter.validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        raise InvalidRequest(f"{file}: {place + ': ' if place else ''}{first['msg']}") from error
