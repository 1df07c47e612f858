"""Letting a whole application decide on the pictures of a labelled set, and judging what it decided."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from domain.applications import Application, Case
from domain.applications.application import Banks, Parameters
from domain.errors import ImageRejected, InvalidRequest, ModelError, ModelUnavailable, RunError
from storage.claims import ClaimedJob
from storage.settings import Settings
from workers.database import database
from workers.device import Census, Device
from workers.judging import Look
from workers.models.family import Pixels
from workers.registered import locating
from workers.registry import Registry
from workers.residency import Residency
from workers.training.coco import CocoImage, Dataset, sized
from workers.training.evaluating.decisions import Decision, of_inspections
from workers.training.evaluating.judged import Advance, Judged
from workers.training.evaluating.paper import Paper
from workers.training.evaluating.report import Named, told
from workers.training.evaluating.scenes import truth
from workers.training.measures.evaluation import Evaluation, Kind
from workers.training.sets.hashing import data_hash
from workers.vision import JobVision

log = logging.getLogger(__name__)

Judge = Callable[[Sequence[Decision], Sequence[str], float], Judged]
JUDGES: Mapping[str, Judge] = {"inspection": of_inspections}
"""The applications whose decisions a set of objects tells right from wrong."""


class NoMemory:
    """A tenant's translation memory that holds nothing."""

    def recall(self, text: str, source: str, target: str) -> str | None:
        """See `domain.applications.application.Memory`."""


@dataclass(frozen=True)
class Deciding:
    """An application with the parameters that every picture is sent with, and the models that it asks."""

    application: Application[Any, Any]
    parameters: Mapping[str, Any]
    registry: Registry
    settings: Settings
    banks: Banks | None = None


def evaluate(deciding: Deciding, paper: Paper, iou: float, command: str, advance: Advance) -> tuple[Evaluation, Judged]:
    """Run the application on every picture of a set of objects and judge its decisions.

    Raises InvalidRequest where no set tells what is right of this application, or the set is of another kind or lacks a
    picture; ModelError where each picture failed; and what the application raises of its parameters.
    """
    name, part = deciding.application.name, paper.part
    if name not in JUDGES or not isinstance(part, Dataset):
        raise InvalidRequest(f"a set of {part.kind} does not tell what {name} should decide; {_known()}")
    known = data_hash(part)
    decisions, asked = _decisions(deciding, part, advance)
    if all(one.result is None for one in decisions):
        raise ModelError(f"{name} failed on each of {len(decisions)} pictures, on the last so: {decisions[-1].failure}")
    judged = JUDGES[name](decisions, part.classes, iou)
    revision = ", ".join([f"version {deciding.application.version}", *asked])
    return told(paper, known, judged, Kind.DECISIONS, Named(name, revision, command)), judged


def _decisions(deciding: Deciding, found: Dataset, advance: Advance) -> tuple[list[Decision], list[str]]:
    """Return what was decided on each picture, and the models that were asked, as they were loaded."""
    look = Look(deciding.settings.image_limits)
    parameters = deciding.application.parse(dict(deciding.parameters))
    census = Census()
    decisions, asked = list[Decision](), dict[str, None]()
    with database(deciding.settings) as engine:
        residency = Residency(partial(plain_device, census), located=locating(engine, deciding.settings.data))
        try:
            for image, there in truth(found):
                vision = _vision(deciding, residency)
                pixels = partial(_shown, parameters, look, found, image)
                result, failure = decided(deciding, parameters, vision, pixels)
                decisions.append(Decision(image, found.path(image), there, result, failure))
                asked |= dict.fromkeys(f"{call.model} {call.revision}" for call in vision.calls)
                advance()
        finally:
            for device in residency.devices.values():
                device.close()
    return decisions, list(asked)


def _shown(parameters: Parameters, look: Look, found: Dataset, image: CocoImage) -> list[Pixels]:
    """Return the pictures of one job: the image, and its golden reference where the parameters say that it stands.

    Raises InvalidRequest where that is neither the first nor the second place.
    """
    picture, template, place = (
        sized(look, found, image),
        found.template_path(image),
        getattr(parameters, "reference", None),
    )
    if place is None or template is None:
        return [picture]
    if place not in {0, 1}:
        raise InvalidRequest(
            f"the reference is picture {place} of each job, which has 0 and 1: the part and its template"
        )
    return [look(template), picture] if place == 0 else [picture, look(template)]


def decided(
    deciding: Deciding, parameters: Parameters, vision: JobVision, shown: Callable[[], list[Pixels]]
) -> tuple[Any, str]:
    """Run one job as a worker would, but for the database; return the application's result, or how it failed.

    Raises ModelUnavailable, and what the application raises of its parameters.
    """
    try:
        with vision.residency.devices["cpu"].census.job():
            pixels = shown()
            parameters.check_images(len(pixels))
            pictures = tuple(vision.picture(str(place), one) for place, one in enumerate(pixels))
            case = Case(parameters, pictures, vision, NoMemory(), banks=deciding.banks)
            return deciding.application.run(case), ""
    except ModelUnavailable:
        raise  # for any other picture it would be so too
    except (ImageRejected, RunError) as error:
        log.warning("the application failed on a picture: %s", error.message, extra={"event": "evaluation.failed"})
        return None, error.message


def _vision(deciding: Deciding, residency: Residency) -> JobVision:
    job = unkept_job(deciding.application.name)
    return JobVision(job, 1, math.inf, deciding.registry, residency, lambda: None)


def unkept_job(application: str, images: tuple[str, ...] = ()) -> ClaimedJob:
    """Return a job that no database knows of, on pictures with these SHA-256."""
    return ClaimedJob(
        id=uuid4(),
        token=1,
        tenant="",
        application=application,
        lane="standard",
        params={},
        images=images,
        attempts=0,
        suspect=False,
        deadline_in_s=None,
    )


def plain_device(census: Census, name: str) -> Device:
    """Return a device that nobody watches over: a command ends with what goes wrong on it."""
    return Device(name, guard=lambda jobs, limit: nullcontext(), died=_died, census=census)


def _died(reason: str) -> None:
    raise RuntimeError(reason)


def _known() -> str:
    return f"sets of boxes are judged for {', '.join(JUDGES)}"
