"""What a model finds in the pictures of a set of objects, beside what is there."""

from collections.abc import Iterator
from typing import NamedTuple

from domain.errors import ImageRejected, InvalidRequest, RegistrationFailed, SightlineError
from domain.vision import Capability, Detection, Grounding
from workers.models.family import Ask
from workers.training import coco_masks
from workers.training.coco import CocoAnnotation, CocoImage, Dataset, mask_of, runs
from workers.training.evaluating.examinee import Examinee
from workers.training.evaluating.shown import shown
from workers.training.measures.boxes import Scene, Thing

LOWEST_SCORE = 0.01
"""Average precision wants weak detections too."""


class Seen(NamedTuple):
    """What was found in the pictures of a set."""

    scenes: list[Scene]
    failed: int
    """pictures on which the model failed, in which it found nothing then"""
    masks: bool
    """whether masks can be judged: the set has some, and so has what was found, unless that is nothing"""


def seen(examinee: Examinee, found: Dataset) -> Seen:
    """Let the model detect objects in each picture, or ground the names of the classes where it cannot detect.

    Raises InvalidRequest where the set has objects of a class that the model does not know, or a picture is of another
    size than the set says.
    """
    capability = examinee.asked(found.folder, Capability.DETECT, Capability.GROUND)
    told: dict[str, object] = {"min_score": LOWEST_SCORE}
    if capability is Capability.GROUND:
        told["phrases"] = found.classes
    elif unknown := sorted(found.names() - set(examinee.model.classes)):
        raise InvalidRequest(f"{found.folder} has classes that the model does not know: {', '.join(unknown)}")
    asks = (_ask(examinee, found, image, capability, told) for image in found.content.images)
    answers = list(examinee.answers(asks))
    detections = [[_detection(one) for one in answer or ()] for answer in answers]
    every = [one for of_one in detections for one in of_one]
    masks = masked(found) and (not every or any(one.mask is not None for one in every))
    scenes = [
        Scene(image.width, image.height, there, of_one)
        for (image, there), of_one in zip(truth(found, masks=masks), detections, strict=True)
    ]
    return Seen(scenes, answers.count(None), masks)


def truth(found: Dataset, *, masks: bool = False) -> Iterator[tuple[CocoImage, list[Thing]]]:
    """Yield what is there in each picture, with masks where they are wanted."""
    names = {item.id: item.name for item in found.content.categories}
    for image, objects in found.pairs():
        yield image, [_thing(item, image, names[item.category_id], masks=masks) for item in objects]


def masked(found: Dataset) -> bool:
    """Say whether a set has masks."""
    return any(item.segmentation for item in found.content.annotations)


def _thing(item: CocoAnnotation, image: CocoImage, name: str, *, masks: bool) -> Thing:
    """Return an object; without its mask, which takes as much memory as the picture, that one's area at least."""
    if masks:
        return Thing(name, item.box, mask_of(item, image), item.iscrowd)
    return Thing(
        name, item.box, crowd=item.iscrowd, area=coco_masks.area(runs(item, image)) if item.segmentation else None
    )


def _ask(
    examinee: Examinee, found: Dataset, image: CocoImage, capability: Capability, told: dict[str, object]
) -> Ask | SightlineError:
    """Return the call on a picture, or why there is none: it cannot be read, or not be compared with its reference."""
    try:
        return Ask(capability, shown(examinee.model, examinee.look, found, image), told)
    except (ImageRejected, RegistrationFailed) as error:
        return error


def _detection(one: Detection | Grounding) -> Detection:
    return one if isinstance(one, Detection) else Detection(label=one.phrase, score=one.score, box=one.box)
