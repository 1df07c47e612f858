"""Looking through a COCO set before anything is made of it: each picture's header, each box, each mask's runs."""

from dataclasses import replace
from pathlib import Path

from domain.errors import InvalidRequest
from domain.images import ImageLimits
from workers.training.coco import CocoAnnotation, CocoImage, Dataset, runs
from workers.training.sets.headers import header


def checked(found: Dataset) -> Dataset:
    """Return the set with the sizes that its file does not say.

    Raises InvalidRequest where a picture, or its golden reference, cannot be read, is of another size than the set
    says, or has an object whose box or mask is broken; ImageTooLarge where no reader would take it.
    """
    images = tuple(_sized(image, found.path(image)) for image in found.content.images)
    for path in {found.template_path(image): None for image in images}:
        if path is not None:
            header(path)
    sized = replace(found, content=found.content.model_copy(update={"images": images}))
    by_id = {image.id: image for image in images}
    for one in sized.content.annotations:
        _check(one, by_id[one.image_id])
    return sized


def within(found: Dataset, limits: ImageLimits) -> None:
    """Raise InvalidRequest where a picture has more pixels than are taken."""
    for image in found.content.images:
        if image.width * image.height > limits.max_pixels:
            raise InvalidRequest(
                f"{found.path(image)} is {image.width}x{image.height} pixels; at most {limits.max_pixels} are taken: "
                f"cut it into pieces, or make it smaller"
            )


def _sized(image: CocoImage, path: Path) -> CocoImage:
    told, found = (image.width, image.height), header(path)
    if told == found.shown:
        return image
    width, height = found.shown
    if 0 in told:
        return image.model_copy(update={"width": width, "height": height})
    why = "correct the size, or put the picture there that was annotated"
    if told == found.stored:
        why = (
            "its EXIF orientation turns it, and so it is seen here: turn the pixels and drop the tag, or annotate the "
            "picture as it is shown"
        )
    raise InvalidRequest(
        f"{path} is {width}x{height} (width x height), and the set says {told[0]}x{told[1]} of it; {why}"
    )


def _check(one: CocoAnnotation, image: CocoImage) -> None:
    try:
        one.box  # noqa: B018  (what it refuses is looked for)
    except ValueError as error:
        raise InvalidRequest(
            f"annotation {one.id} of {image.file_name}: its box is x, y, width, height in pixels, not {one.bbox}"
        ) from error
    if one.segmentation:
        runs(one, image)
