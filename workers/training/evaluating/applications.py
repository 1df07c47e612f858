"""Letting a whole application decide on the pictures of a labelled set, and judging what it decided."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from domain.applications import Application, Case
from domain.errors import InvalidRequest
from domain.vision import Capability
from storage.claims import ClaimedJob
from storage.settings import Settings
from workers.database import database
from workers.device import Census, Device
from workers.judging import Look
from workers.registered import locating
from workers.registry import Registry
from workers.residency import Residency
from workers.training.coco import CocoImage, Dataset
from workers.training.evaluating.decisions import Decision, of_inspections
from workers.training.evaluating.judged import Advance, Judged
from workers.training.evaluating.paper import Paper
from workers.training.evaluating.report import Named, told
from workers.training.evaluating.scenes import truth
from workers.training.measures.evaluation import Evaluation, Kind
from workers.vision import JobVision

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


def evaluate(deciding: Deciding, paper: Paper, iou: float, command: str, advance: Advance) -> tuple[Evaluation, Judged]:
    """Run the application on every picture of a set of objects and judge its decisions.

    Raises InvalidRequest where no set tells what is right of this application, or the set is of another kind; and what
    the application raises.
    """
    name, part = deciding.application.name, paper.part
    if name not in JUDGES or not isinstance(part, Dataset):
        raise InvalidRequest(f"a set of {part.kind} does not tell what {name} should decide; {_known()}")
    judged = JUDGES[name](_decisions(deciding, part, advance), part.classes, iou)
    models = {spec.name: spec.revision for spec in deciding.registry.profile.models}
    model = deciding.parameters.get("model") or deciding.registry.profile.defaults.get(Capability.DETECT, "")
    revision = f"version {deciding.application.version}, {model} {models.get(model, '')}".strip()
    return told(paper, judged, Kind.DECISIONS, Named(name, revision, command)), judged


def _decisions(deciding: Deciding, found: Dataset, advance: Advance) -> list[Decision]:
    look = Look(deciding.settings.image_limits)
    census = Census()
    decisions = []
    with database(deciding.settings) as engine:
        residency = Residency(partial(_device, census), located=locating(engine, deciding.settings.data))
        try:
            for image, there in truth(found):
                result = _run(deciding, residency, look, _shown(deciding, found, image))
                decisions.append(Decision(image, found.path(image), there, result))
                advance()
        finally:
            for device in residency.devices.values():
                device.close()
    return decisions


def _shown(deciding: Deciding, found: Dataset, image: CocoImage) -> list[Path]:
    """Return the pictures of one job: the image, and its golden reference where the parameters name one."""
    template = found.template_path(image)
    return [found.path(image), template] if template and "reference" in deciding.parameters else [found.path(image)]


def _run(deciding: Deciding, residency: Residency, look: Look, paths: Sequence[Path]) -> Any:  # noqa: ANN401
    """Run one job as a worker would, but for the database; return the application's result."""
    application = deciding.application
    parameters = application.parse(dict(deciding.parameters))
    parameters.check_images(len(paths))
    job = ClaimedJob(
        id=uuid4(),
        token=1,
        tenant="",
        application=application.name,
        lane="standard",
        params={},
        images=(),
        attempts=0,
        suspect=False,
        deadline_in_s=None,
    )
    vision = JobVision(job, 1, math.inf, deciding.registry, residency, lambda: None)
    with residency.devices["cpu"].census.job():
        pictures = tuple(vision.picture(str(place), look(path)) for place, path in enumerate(paths))
        return application.run(Case(parameters, pictures, vision, NoMemory()))


def _device(census: Census, name: str) -> Device:
    return Device(name, guard=lambda jobs, limit: nullcontext(), died=_died, census=census)


def _died(reason: str) -> None:
    raise RuntimeError(reason)


def _known() -> str:
    return f"sets of boxes are judged for {', '.join(JUDGES)}"
