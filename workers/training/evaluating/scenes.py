"""What a model finds in the pictures of a set of objects, beside what is there."""

from collections.abc import Iterator

from domain.errors import InvalidRequest, RegistrationFailed
from domain.vision import Capability, Detection, Grounding
from workers.imaging.registration import register
from workers.modelling.pairs import compares
from workers.models.family import Ask, Pixels
from workers.training.coco import CocoImage, Dataset, mask_of
from workers.training.evaluating.examinee import Examinee
from workers.training.measures.boxes import Scene, Thing

LOWEST_SCORE = 0.01
"""Average precision wants weak detections too."""


def seen(examinee: Examinee, found: Dataset) -> tuple[list[Scene], int]:
    """Let the model detect objects in each picture, or ground the names of the classes where it cannot detect.

    Returns also on how many pictures it failed, in which it found nothing then. Raises InvalidRequest where the set has
    a class that the model does not know.
    """
    capability = examinee.asked(found.folder, Capability.DETECT, Capability.GROUND)
    told: dict[str, object] = {"min_score": LOWEST_SCORE}
    if capability is Capability.GROUND:
        told["phrases"] = found.classes
    elif unknown := sorted(set(found.classes) - set(examinee.model.classes)):
        raise InvalidRequest(f"{found.folder} has classes that the model does not know: {', '.join(unknown)}")
    asks = (Ask(capability, pictures, told) for pictures in _pictures(examinee, found))
    scenes, failed = [], 0
    for (image, there), answer in zip(truth(found), examinee.answers(asks), strict=True):
        scenes.append(Scene(image.width, image.height, there, [_detection(one) for one in answer or ()]))
        failed += answer is None
    return scenes, failed


def truth(found: Dataset) -> Iterator[tuple[CocoImage, list[Thing]]]:
    """Yield what is there in each picture, with masks where the set has some."""
    drawn, names = masked(found), {item.id: item.name for item in found.content.categories}
    for image, objects in found.pairs():
        yield (
            image,
            [
                Thing(names[item.category_id], item.box, mask_of(item, image) if drawn else None, item.iscrowd)
                for item in objects
            ],
        )


def masked(found: Dataset) -> bool:
    """Say whether a set has masks."""
    return any(item.segmentation for item in found.content.annotations)


def _pictures(examinee: Examinee, found: Dataset) -> Iterator[tuple[Pixels, ...]]:
    """Yield each picture, with its golden reference laid over it where the model compares the two.

    Where that fails the picture stands alone, and the model fails on it.
    """
    for image in found.content.images:
        pixels, template = examinee.look(found.path(image)), found.template_path(image)
        if not compares(examinee.model) or template is None:
            yield (pixels,)
            continue
        try:
            yield pixels, register(pixels, examinee.look(template)).pixels
        except RegistrationFailed:
            yield (pixels,)


def _detection(one: Detection | Grounding) -> Detection:
    return one if isinstance(one, Detection) else Detection(label=one.phrase, score=one.score, box=one.box)
