"""One job, from its claim to its outcome: decode, run the application, say what became of it. Never raises."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from uuid import UUID

from domain.applications import Application, Case, application
from domain.applications.application import Banks, Configurations, Memory, Trainer
from domain.applications.revising import storable
from domain.errors import OriginalUnreadable, RunCrashed, RunStopped, SightlineError
from domain.images import ImageLimits
from domain.jobs import JobState, Lane
from domain.retries import RetryPolicy, decide
from domain.texts import printable
from domain.vision import Picture
from storage.claims import ClaimedJob, Outcome
from workers.device import Census
from workers.imaging.decode import decode
from workers.memory import MEGABYTE, give_back, resident_bytes
from workers.overhearing import Nobody, Overhearing
from workers.passing import Doorkeeper, Passed
from workers.registry import Registry
from workers.residency import Residency
from workers.vision import JobVision, deadline_of

log = logging.getLogger(__name__)

MAX_MESSAGE = 2_000
MUCH_BYTES = 64 * MEGABYTE
"""When so much more is held after a job than before it, what was freed is given back to the system."""


@dataclass(frozen=True)
class Workshop:
    """What performing a job needs from the process it runs in."""

    registry: Registry
    residency: Residency
    census: Census
    fetch: Callable[[str], bytes]
    """an image's bytes by its SHA-256"""
    memory: Callable[[str], Memory]
    """a tenant's translation memory"""
    configurations: Callable[[str, str], Configurations]
    """a tenant's configurations of an application"""
    banks: Callable[[str], Banks]
    """a tenant's hash banks"""
    guard: Callable[[Sequence[UUID], float], AbstractContextManager[None]]
    """notes the jobs of a decode or a device call and watches its time"""
    patience: Callable[[UUID], AbstractContextManager[None]]
    """watches the time of a whole job"""
    limits: ImageLimits
    decode_limit_s: float
    retries: RetryPolicy
    random: Random
    overhearing: Overhearing = field(default_factory=Nobody)
    door: Doorkeeper | None = None
    """where originals of patient data become copies; without one no job of theirs is performed"""
    trainer: Callable[[ClaimedJob, Callable[[], None]], Trainer] | None = None
    """who trains for a job, given its checkpoint; None in a process that serves"""


def perform(job: ClaimedJob, workshop: Workshop, stopped: Callable[[], str | None]) -> Outcome | None:
    """Run a job and return its outcome; None where it was fenced and nothing may be said of it any more."""
    before = resident_bytes()
    outcome = _perform(job, workshop, stopped)
    if resident_bytes() > before + MUCH_BYTES:
        give_back()  # a large picture is decoded in pieces that the C library would keep, in each thread
    return outcome


def _perform(job: ClaimedJob, workshop: Workshop, stopped: Callable[[], str | None]) -> Outcome | None:
    with workshop.census.job(), workshop.patience(job.id):
        vision = JobVision(
            job=job,
            lane=Lane(job.lane).rank,
            deadline=deadline_of(job),
            registry=workshop.registry,
            residency=workshop.residency,
            stopped=stopped,
            overhearing=Nobody() if job.suspect else workshop.overhearing,
        )
        try:
            outcome = _run(job, workshop, vision)
            workshop.overhearing.heard(job.id, vision.overheard)
            return outcome
        except RunStopped as stop:
            return None if stop.reason == "fenced" else Outcome(job, JobState(stop.reason))
        except SightlineError as error:
            return _failed(job, error, workshop)
        except BaseException as error:
            # SystemExit and KeyboardInterrupt too: in a job thread they mean nothing but that a library raised them.
            log.exception("an application failed", extra={"event": "job.crashed", "job": job.id})
            return _failed(job, RunCrashed(f"{type(error).__name__}: {error}"), workshop)


def _run(job: ClaimedJob, workshop: Workshop, vision: JobVision) -> Outcome:
    wanted: Application[Any, Any] = application(job.application)
    parameters = wanted.parse(job.params)
    vision.checkpoint()
    passed = _passed(job, wanted, workshop, vision) if wanted.patient_data else Passed(job.images, ())
    vision.job = replace(job, images=passed.images)
    pictures = tuple(_picture(job, at, sha256, workshop, vision) for at, sha256 in enumerate(passed.images))
    trainer = workshop.trainer(job, vision.checkpoint) if workshop.trainer and wanted.apart else None
    result = wanted.run(
        Case(
            parameters,
            pictures,
            vision,
            workshop.memory(job.tenant),
            trainer,
            banks=workshop.banks(job.tenant),
            configurations=workshop.configurations(job.tenant, job.application),
            facts=passed.facts,
        )
    )
    vision.checkpoint()
    return Outcome(
        job=job,
        state=JobState.SUCCEEDED,
        version=wanted.version,
        headline=wanted.headline(result)[:400],
        body=storable(result.model_dump(mode="json")),
        pictures=tuple(_told(picture) for picture in pictures),
        findings=tuple(wanted.findings(result)),
        calls=tuple(vision.calls),
        review=wanted.review(result),
    )


def _passed(job: ClaimedJob, wanted: Application[Any, Any], workshop: Workshop, vision: JobVision) -> Passed:
    """Let a job of patient data through the door. What reads its originals there is overheard by nobody."""
    if workshop.door is None:
        raise OriginalUnreadable("this process has no door, and looks at no originals of patient data")
    apart = replace(vision, overhearing=Nobody(), calls=[], overheard=[], _pixels={})
    return workshop.door.pass_through(job, apart, wanted.max_images)


def _picture(job: ClaimedJob, at: int, sha256: str, workshop: Workshop, vision: JobVision) -> Picture:
    data = workshop.fetch(sha256)
    with workshop.guard([job.id], workshop.decode_limit_s):
        decoded = decode(data, workshop.limits, f"image {at} ({sha256[:12]})")
    return vision.picture(str(at), decoded.pixels, decoded.orientation)


def _told(picture: Picture) -> dict[str, int]:
    return {"width": picture.width, "height": picture.height, "orientation": picture.orientation}


def _failed(job: ClaimedJob, error: SightlineError, workshop: Workshop) -> Outcome:
    decision = decide(error, job.attempts + 1, workshop.retries, workshop.random)
    given_up = JobState.DEAD if error.retryable else JobState.FAILED
    state = JobState.QUEUED if decision.retry else given_up
    log.warning(
        "a run failed: %s",
        error.code,
        extra={"event": "job.run_failed", "job": job.id, "code": error.code, "decision": decision.reason},
    )
    message = printable(error.message, MAX_MESSAGE)
    return Outcome(
        job,
        state,
        error_code=error.code,
        error_message=message,
        delay_s=decision.delay_s,
        costs_attempt=decision.costs_attempt,
    )
