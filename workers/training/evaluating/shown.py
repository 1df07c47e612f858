"""What a model is shown of a set of objects: the picture, and its golden reference where the model compares the two."""

from workers.imaging.registration import register
from workers.modelling.pairs import compares
from workers.models.family import Model, Pixels
from workers.training.coco import CocoImage, Dataset, Look, sized


def shown(model: Model, look: Look, found: Dataset, image: CocoImage) -> tuple[Pixels, ...]:
    """Return a picture, and after it, for a model that compares, its golden reference laid over it.

    Raises RegistrationFailed where it cannot be laid, and as `sized` does.
    """
    pixels, template = sized(look, found, image), found.template_path(image)
    if template is None or not compares(model):
        return (pixels,)
    return pixels, register(pixels, look(template)).pixels
