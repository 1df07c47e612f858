"""What a model is shown of a set of objects: the picture, and its golden reference where the model compares the two."""

from collections.abc import Callable
from pathlib import Path

from domain.errors import InvalidRequest
from workers.imaging.registration import register
from workers.modelling.pairs import compares
from workers.models.family import Model, Pixels
from workers.training.coco import CocoImage, Dataset

Look = Callable[[Path], Pixels]


def shown(model: Model, look: Look, found: Dataset, image: CocoImage) -> tuple[Pixels, ...]:
    """Return a picture, and after it, for a model that compares, its golden reference laid over it.

    Raises RegistrationFailed where it cannot be laid, and as `sized` does.
    """
    pixels, template = sized(look, found, image), found.template_path(image)
    if template is None or not compares(model):
        return (pixels,)
    return pixels, register(pixels, look(template)).pixels


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
