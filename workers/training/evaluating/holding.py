"""Holding the pictures of a labelled set to policies, as jobs would be held, and judging what was decided."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from domain.applications.moderation.contract import APPLICATION
from domain.errors import ModelError, SightlineError
from domain.vision import Capability, Picture
from storage.session import Engine
from storage.settings import Settings
from workers.banking import Banking
from workers.device import Census
from workers.judging import Look
from workers.registered import locating
from workers.registry import Registry
from workers.residency import Residency
from workers.training.evaluating.applications import Deciding, decided, plain_device, unkept_job
from workers.training.evaluating.judged import Advance, Judged
from workers.training.evaluating.moderations import Moderation, of_moderations
from workers.training.evaluating.paper import Paper
from workers.training.evaluating.policies import Held, check
from workers.training.evaluating.report import Named, told
from workers.training.measures.evaluation import Evaluation, Kind
from workers.training.sets.hashing import data_hash, sha256_of
from workers.training.sets.moderated import Moderated, ModeratedPicture
from workers.vision import JobVision


class Outcome(NamedTuple):
    """What came of one policy: its figures, what they were made of, and each decision in the order of the set."""

    told: Evaluation
    judged: Judged
    moderations: Sequence[Moderation]


@dataclass(frozen=True)
class Bench:
    """What policies are tried with: an installation, whose banks are looked into, and the models that are asked."""

    settings: Settings
    registry: Registry
    engine: Engine
    tenant: str


@dataclass
class LookingOnce(JobVision):
    """Asks a model the same thing once, so that several policies decide on the same answers."""

    _told: dict[Hashable, Any] = field(default_factory=dict)

    def _call(self, capability: Capability, model: str | None, pictures: Sequence[Picture], **arguments: Any) -> Any:  # noqa: ANN401
        key = (capability, model, tuple(picture.name for picture in pictures), repr(sorted(arguments.items())))
        if key not in self._told:
            try:
                self._told[key] = super()._call(capability, model, pictures, **arguments)
            except SightlineError as error:
                if error.retryable:
                    raise
                self._told[key] = error
        if isinstance(self._told[key], SightlineError):
            raise self._told[key]
        return self._told[key]


def evaluate(bench: Bench, policies: Sequence[Held], paper: Paper, command: str, advance: Advance) -> list[Outcome]:
    """Hold each picture to each policy and judge the decisions; one outcome for each policy.

    Raises InvalidRequest where the set has a label or a surface that there is not, or lacks a picture; ModelError where
    no picture could be decided on; ModelUnavailable.
    """
    found = paper.part
    assert isinstance(found, Moderated), "a set for moderation"
    check(found.lines, policies)
    known = data_hash(found)
    moderations, asked = _moderations(bench, policies, found, advance)
    outcomes = []
    for held, made in zip(policies, moderations, strict=True):
        if all(one.result is None for one in made):
            raise ModelError(f"moderation failed on each of {len(made)} pictures, on the last so: {made[-1].failure}")
        judged = of_moderations(made, held)
        revision = ", ".join([f"version {APPLICATION.version}", f"{held.told} ({held.policy.digest[:12]})", *asked])
        named = Named(APPLICATION.name, revision, command)
        outcomes.append(Outcome(told(paper, known, judged, Kind.DECISIONS, named), judged, made))
    return outcomes


def _moderations(
    bench: Bench, policies: Sequence[Held], found: Moderated, advance: Advance
) -> tuple[list[list[Moderation]], list[str]]:
    """Return what each policy made of each picture, and the models that were asked, as they were loaded."""
    deciding = Deciding(APPLICATION, {}, bench.registry, bench.settings, banks=Banking(bench.engine).of(bench.tenant))
    residency = Residency(partial(plain_device, Census()), located=locating(bench.engine, bench.settings.data))
    made: list[list[Moderation]] = [[] for _ in policies]
    asked = dict[str, None]()
    try:
        for key, picture in found.keyed():
            vision = _vision(deciding, residency, picture.image)
            for held, of_policy in zip(policies, made, strict=True):
                of_policy.append(_moderated(deciding, vision, held, key, picture))
            asked |= dict.fromkeys(f"{call.model} {call.revision}" for call in vision.calls)
            advance()
    finally:
        for device in residency.devices.values():
            device.close()
    return made, list(asked)


def _moderated(deciding: Deciding, vision: JobVision, held: Held, key: str, picture: ModeratedPicture) -> Moderation:
    sent: Mapping[str, Any] = {"policy": held.policy, "surface": picture.surface, "text": picture.text}
    look = Look(deciding.settings.image_limits)
    parameters = deciding.application.parse(dict(sent))
    result, failure = decided(deciding, parameters, vision, lambda: [look(picture.image)])
    return Moderation(key, picture, held.labels(picture), result, failure)


def _vision(deciding: Deciding, residency: Residency, image: Path) -> JobVision:
    job = unkept_job(APPLICATION.name, (sha256_of(image),))  # a bank may know the file itself
    return LookingOnce(job, 1, math.inf, deciding.registry, residency, lambda: None)
