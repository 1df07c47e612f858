"""The Vision that an application is handed: one per job, over the models that all jobs of this process share.

Each call passes a checkpoint, prepares its input in the job's own thread, joins the model's next batch, waits, and is
recorded. Which call shares a batch with which other job's is decided beneath, in `device.py` and `batching.py`.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np

from domain.errors import InvalidRequest, ModelError, ModelUnavailable, RunStopped
from domain.geometry import Box, Polygon
from domain.schemas import Schema, closed, parsed
from domain.vision import (
    Answer,
    Capability,
    Code,
    Detection,
    Example,
    Grounding,
    Hashes,
    Label,
    Language,
    Palette,
    Picture,
    Prompt,
    Quality,
    Registration,
    Segment,
    TextRegion,
    Translation,
)
from storage.claims import ClaimedJob, ModelCall
from workers.batching import Answered, Call
from workers.device import Resident
from workers.imaging.codes import codes
from workers.imaging.crop import crop
from workers.imaging.hashes import hashes
from workers.imaging.palette import palette
from workers.imaging.quality import quality
from workers.imaging.registration import register
from workers.models.family import Ask, Elsewhere, Pixels, Prepared, Told
from workers.overhearing import Nobody, Overheard, Overhearing
from workers.registry import ModelSpec, Registry
from workers.residency import Residency

T = TypeVar("T")

LOOK_EVERY_S = 0.25
"""How often a waiting job looks whether it should stop."""
WORDS = 200
"""So many characters of an answer are told in an error."""


@dataclass
class JobVision:
    """Vision for one job. For one thread."""

    job: ClaimedJob
    lane: int
    deadline: float
    """on the monotonic clock; infinity without one"""
    registry: Registry
    residency: Residency
    stopped: Callable[[], str | None]
    """why the job should stop, if it should"""
    overhearing: Overhearing = field(default_factory=Nobody)
    calls: list[ModelCall] = field(default_factory=list)
    overheard: list[Overheard] = field(default_factory=list)
    _pixels: dict[str, Pixels] = field(default_factory=dict)

    def picture(self, name: str, pixels: Pixels, orientation: int = 1) -> Picture:
        """Take in H × W × 3 RGB pixels under a name of their own within the job."""
        self._pixels[name] = pixels
        return Picture(name, pixels.shape[1], pixels.shape[0], orientation)

    def checkpoint(self) -> None:
        """Raise RunStopped where the job was cancelled, superseded or fenced."""
        reason = self.stopped()
        if reason is not None:
            raise RunStopped(reason)

    def classify(self, picture: Picture, labels: Sequence[str], *, model: str | None = None) -> tuple[Label, ...]:
        """See `domain.vision.Vision`."""
        answer = self._call(Capability.CLASSIFY, model, [picture], labels=tuple(labels))
        return cast("tuple[Label, ...]", answer)

    def embed(self, picture: Picture, *, model: str | None = None) -> tuple[float, ...]:
        """See `domain.vision.Vision`."""
        return cast("tuple[float, ...]", self._call(Capability.EMBED, model, [picture]))

    def detect(
        self,
        picture: Picture,
        *,
        reference: Picture | None = None,
        model: str | None = None,
        min_score: float = 0.25,
    ) -> tuple[Detection, ...]:
        """See `domain.vision.Vision`."""
        shown = [picture] if reference is None else [picture, reference]
        return cast("tuple[Detection, ...]", self._call(Capability.DETECT, model, shown, min_score=min_score))

    def classes(self, *, model: str | None = None) -> tuple[str, ...]:
        """See `domain.vision.Vision`."""
        with self.residency.using(self._spec(Capability.DETECT, model)) as resident:
            return resident.model.classes

    def ground(
        self, picture: Picture, phrases: Sequence[str], *, model: str | None = None, min_score: float = 0.25
    ) -> tuple[Grounding, ...]:
        """See `domain.vision.Vision`."""
        answer = self._call(Capability.GROUND, model, [picture], phrases=tuple(phrases), min_score=min_score)
        return cast("tuple[Grounding, ...]", answer)

    def segment(self, picture: Picture, prompt: Prompt, *, model: str | None = None) -> tuple[Segment, ...]:
        """See `domain.vision.Vision`."""
        return cast("tuple[Segment, ...]", self._call(Capability.SEGMENT, model, [picture], prompt=prompt))

    def ask(
        self,
        pictures: Sequence[Picture],
        question: str,
        *,
        options: Sequence[str] = (),
        schema: Mapping[str, Any] | None = None,
        examples: Sequence[Example] = (),
        model: str | None = None,
    ) -> Answer:
        """See `domain.vision.Vision`."""
        if options and schema is not None:
            raise InvalidRequest("a question has options or a schema of its answer, not both")
        wanted = None if schema is None else closed(schema)
        shown = [*(example.picture for example in examples), *pictures]
        told = tuple((at, example.question, example.answer) for at, example in enumerate(examples))
        asked = {"question": question, "options": tuple(options), "schema": wanted, "examples": told}
        answer = cast("Answer", self._call(Capability.ASK, model, shown, **asked))
        if wanted is not None:
            self._check(answer, wanted)
        return answer

    def caption(self, picture: Picture, *, model: str | None = None) -> str:
        """See `domain.vision.Vision`."""
        return cast("str", self._call(Capability.CAPTION, model, [picture]))

    def draft(self, pictures: Sequence[Picture], instruction: str, *, model: str | None = None) -> str:
        """See `domain.vision.Vision`."""
        return cast("str", self._call(Capability.DRAFT, model, pictures, instruction=instruction))

    def read(self, picture: Picture, *, model: str | None = None) -> tuple[TextRegion, ...]:
        """See `domain.vision.Vision`."""
        return cast("tuple[TextRegion, ...]", self._call(Capability.READ, model, [picture]))

    def identify(self, text: str, candidates: Sequence[str], *, model: str | None = None) -> Language | None:
        """See `domain.vision.Vision`; None, too, where no model can tell languages."""
        if self.registry.find(Capability.IDENTIFY, model) is None:
            return None
        answer = self._call(Capability.IDENTIFY, model, [], text=text, candidates=tuple(candidates))
        return cast("Language | None", answer)

    def translate(self, text: str, source: str, target: str, *, model: str | None = None) -> Translation | None:
        """See `domain.vision.Vision`."""
        if self.registry.find(Capability.TRANSLATE, model) is None:
            return None
        answer = self._call(Capability.TRANSLATE, model, [], text=text, source=source, target=target)
        return cast("Translation | None", answer)

    def imagine(self, prompt: str, *, seed: int = 0, model: str | None = None) -> Picture:
        """See `domain.vision.Vision`."""
        pixels = self._call(Capability.IMAGINE, model, [], prompt=prompt, seed=seed)
        return self.picture(f"imagined-{len(self._pixels)}", cast("Pixels", pixels))

    def crop(self, picture: Picture, box: Box) -> Picture:
        """See `domain.vision.Vision`."""
        return self.picture(f"{picture.name}/{len(self._pixels)}", crop(self._pixels[picture.name], box))

    def palette(self, picture: Picture, quad: Polygon) -> Palette:
        """See `domain.vision.Vision`."""
        return palette(self._pixels[picture.name], quad)

    def align(self, picture: Picture, reference: Picture) -> tuple[Picture, Registration]:
        """See `domain.vision.Vision`."""
        self.checkpoint()
        found = register(self._pixels[picture.name], self._pixels[reference.name])
        return self.picture(f"{reference.name}/{len(self._pixels)}", found.pixels), found.registration

    def quality(self, picture: Picture) -> Quality:
        """See `domain.vision.Vision`."""
        return quality(self._pixels[picture.name])

    def hashes(self, picture: Picture) -> Hashes:
        """See `domain.vision.Vision`; the pictures that a job was sent with are named by their place."""
        self.checkpoint()
        sent = {str(at): sha256 for at, sha256 in enumerate(self.job.images)}
        return hashes(self._pixels[picture.name], sent.get(picture.name))

    def codes(self, picture: Picture) -> tuple[Code, ...]:
        """See `domain.vision.Vision`."""
        self.checkpoint()
        return codes(self._pixels[picture.name])

    def _check(self, answer: Answer, wanted: Schema) -> None:
        """Raise ModelError where the last call's answer is no JSON of a schema: cut, or of a server that heeds none."""
        try:
            parsed(answer.text, wanted)
        except ValueError as error:
            call = self.calls[-1]
            remarks = "".join(f"; {name}: {value}" for name, value in call.remarks.items())
            raise ModelError(
                f"{call.model} was to answer by a schema, and {error}{remarks}; a cut answer needs more "
                f"`max_new_tokens`, or a schema with bounds: {answer.text[:WORDS]!r}"
            ) from error

    def _spec(self, capability: Capability, model: str | None) -> ModelSpec:
        spec = self.registry.find(capability, model)
        if spec is None:
            raise ModelUnavailable(f"no model is configured for {capability}; add one to models.toml")
        return spec

    def _call(self, capability: Capability, model: str | None, pictures: Sequence[Picture], **arguments: Any) -> Any:  # noqa: ANN401
        self.checkpoint()
        spec = self._spec(capability, model)
        pixels = tuple(np.ascontiguousarray(self._pixels[picture.name]) for picture in pictures)
        with self.residency.using(spec) as resident:
            ask = Ask(capability, pixels, arguments)
            prepared = resident.model.prepare(ask)
            answered = self._answered(resident, prepared)
            told = answered.value if isinstance(answered.value, Told) else Told(answered.value, {})
            self.calls.append(_record(capability, resident, prepared, answered, told))
            if self.overhearing.wants(self.job.id, spec, capability):
                went = resident.revision, answered.batch_size, answered.ran_s
                self.overheard.append(Overheard(spec, ask, told.value, *went))
        self.checkpoint()
        return told.value

    def _answered(self, resident: Resident, prepared: Prepared) -> Answered:
        begun, device = time.monotonic(), resident.device
        if isinstance(resident.model, Elsewhere):
            with device.census.elsewhere():
                value = self._wait(resident.model.submit(prepared), prepared.stopped.set)
            return Answered(value, 1, 0.0, time.monotonic() - begun)
        call = Call(prepared, self.job.id, self.lane, self.deadline, begun)
        return self._wait(device.ask(resident, call), partial(device.withdraw, resident, call))

    def _wait(self, answer: Future[T], withdraw: Callable[[], None]) -> T:
        """Wait for an answer; where the job is stopped meanwhile, say so and wait on for whatever comes of it."""
        reason = None
        while not _settled(answer, LOOK_EVERY_S):
            reason = self.stopped()
            if reason is not None:
                withdraw()
        try:
            return answer.result()
        except CancelledError:
            raise RunStopped(reason or "fenced") from None


def _settled(answer: Future[Any], within_s: float) -> bool:
    """Wait a while for an answer; say whether it is there. Its own error, a far model's time-out even, is one."""
    with suppress(NotYet, CancelledError):
        answer.exception(within_s)
    return answer.done()


def _record(
    capability: Capability, resident: Resident, prepared: Prepared, answered: Answered, told: Told
) -> ModelCall:
    model = resident.model
    return ModelCall(
        capability=capability.value,
        model=resident.name,
        revision=resident.revision,
        device=model.device,
        dtype=model.dtype,
        preprocessing=model.preprocessing,
        prompt=prepared.prompt,
        batch_size=answered.batch_size,
        waited_ms=round(answered.waited_s * 1000, 3),
        ran_ms=round(answered.ran_s * 1000, 3),
        scores=(told.scores or model.scores).value,
        remarks=dict(told.remarks),
    )


def deadline_of(job: ClaimedJob) -> float:
    """Return a job's deadline on this process's monotonic clock, infinity without one."""
    return math.inf if job.deadline_in_s is None else time.monotonic() + job.deadline_in_s
