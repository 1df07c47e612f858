"""The door: originals of patient data come in sealed, and only de-identified copies of them go further.

Whatever goes wrong here is told by the place of the file and the kind of the trouble. No message, log line or file name
has a value of the original in it, and no exception of a library is passed on, because it might quote one.
"""

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID

from PIL import Image

from domain.errors import ImageTooLarge, ImageUnreadable, RunCrashed, SightlineError, Unavailable
from domain.images import ImageLimits, ImageRef
from domain.studies import StudyFacts
from domain.vision import TextRegion
from storage.claims import ClaimedJob
from storage.image_store import ImageStore
from storage.images import keep, remove_unnamed
from storage.originals import Copy, facts_of, put_in_place
from storage.sealing import Sealing
from storage.session import Engine, read, write
from workers.imaging.decode import Pixels, decode
from workers.imaging.dicom import reading
from workers.imaging.dicom.burned_in import picture_without_text
from workers.imaging.dicom.deidentify import deidentify
from workers.imaging.dicom.frames import frame
from workers.imaging.dicom.profile import Options, Record
from workers.imaging.study_facts import study_facts
from workers.passing import Passed
from workers.vision import JobVision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cleaned:
    """A picture that says no longer whose it is: H x W x 3, RGB."""

    pixels: Pixels
    facts: StudyFacts | None
    record: dict[str, Any]


@dataclass(frozen=True)
class Door:
    """What making copies of a job's originals needs from the process it runs in."""

    engine: Engine
    store: ImageStore
    sealing: Sealing
    limits: ImageLimits
    guard: Callable[[Sequence[UUID], float], AbstractContextManager[None]]
    """notes the jobs of a decode and watches its time (seconds)"""
    decode_limit_s: float
    options: Options
    keep_originals: bool = False

    def pass_through(self, job: ClaimedJob, vision: JobVision, most: int) -> Passed:
        """Return the de-identified copies of a job's originals, made and stored where they were not yet.

        `vision` reads burned-in text; `most` is how many pictures the application takes. Raises OriginalUnreadable,
        ImageRejected of each kind (ImageTooLarge for more pictures than `most`), ModelUnavailable where nothing reads
        text, RunStopped, and RunCrashed for whatever else, which names the kind of the trouble alone.
        """
        facts = read(self.engine, facts_of, job.id)
        if facts is not None:
            return Passed(job.images, facts)
        with _unquoted():
            made = [copy for at, sha256 in enumerate(job.images) for copy in self._copies(job, at, sha256, vision)]
        if len(made) > most:
            raise ImageTooLarge(f"the files have {len(made)} frames; the application takes at most {most} pictures")
        gone = write(self.engine, put_in_place, job, made, keep=self.keep_originals)
        self._remove(gone)
        return Passed(tuple(copy.ref.sha256 for copy in made), tuple(copy.facts for copy in made))

    def _copies(self, job: ClaimedJob, at: int, sha256: str, vision: JobVision) -> Iterator[Copy]:
        data = self.sealing.unseal(job.tenant, self.store.get(sha256))
        dicom = data[reading.PREAMBLE : reading.PREAMBLE + len(reading.PREFIX)] == reading.PREFIX
        for cleaned in (self._of_dicom if dicom else self._of_picture)(job, at, data, vision):
            png = _png(cleaned.pixels)
            height, width = cleaned.pixels.shape[:2]
            name = hashlib.sha256(png).hexdigest()
            ref = ImageRef(sha256=name, media_type="image/png", bytes=len(png), width=width, height=height)
            keep(self.engine, self.store, job.tenant, png, ref)
            yield Copy(ref, cleaned.facts, cleaned.record)

    def _of_dicom(self, job: ClaimedJob, at: int, data: bytes, vision: JobVision) -> Iterator[Cleaned]:
        """Yield the frames of the file's copy: all that is told of it, facts too, is read from the copy."""
        name = f"file {at}"
        with self.guard([job.id], self.decode_limit_s):
            instance = reading.read(data, self.limits, name)
        # Noted, because native decoders may take the process with them. Without a limit of its own: it waits for the
        # reader of text as well, whose calls are watched, and the job's own limit holds.
        with self.guard([job.id], math.inf):
            told = deidentify(instance, self.sealing.secret(job.tenant), self.options, _reader(vision, f"door/{at}"))
        with self.guard([job.id], self.decode_limit_s):
            copy = reading.read(told.data, _unbounded(self.limits, told.data), name)
            frames = [frame(copy, index).pixels for index in range(copy.pixels.frames)]
        for index, pixels in enumerate(frames):
            facts = study_facts(copy, instance, at, index)
            yield Cleaned(pixels, facts, _record(told.record, at, index, vision))

    def _of_picture(self, job: ClaimedJob, at: int, data: bytes, vision: JobVision) -> Iterator[Cleaned]:
        """Yield the picture without its metadata and without what text is found in it."""
        with self.guard([job.id], self.decode_limit_s):
            try:
                decoded = decode(data, self.limits, f"file {at}")
            except ImageUnreadable:
                raise ImageUnreadable(f"file {at} is damaged or cut off", image=at) from None
        pixels, boxes = picture_without_text(decoded.pixels, _reader(vision, f"door/{at}"))
        record = Record(codes=(), changes=(), pixels_read=True, blanked=boxes)
        yield Cleaned(pixels, None, _record(record, at, 0, vision))

    def _remove(self, names: Sequence[str]) -> None:
        try:
            remove_unnamed(self.engine, self.store, names)
        except Unavailable as error:
            # No row names them any more, so the sweep will remove them; the copies are what counts now.
            log.warning("sealed originals are left to the sweep", extra={"event": "door.left", "code": error.code})


def _reader(vision: JobVision, name: str) -> Callable[[Pixels], Sequence[TextRegion]]:
    return lambda pixels: vision.read(vision.picture(name, pixels))


def _record(record: Record, file: int, index: int, vision: JobVision) -> dict[str, Any]:
    """Return what was done to a picture, and which models looked for text in it."""
    readers = sorted({f"{call.model} {call.revision}" for call in vision.calls})
    return {**record.model_dump(mode="json"), "file": file, "frame": index, "read_by": readers}


def _unbounded(limits: ImageLimits, data: bytes) -> ImageLimits:
    """Return limits for a copy of ours: unpacked, it may have more bytes than the file that was let in."""
    return limits.model_copy(update={"max_bytes": max(limits.max_bytes, len(data))})


def _png(pixels: Pixels) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@contextmanager
def _unquoted() -> Iterator[None]:
    """Let no exception of a library out: it might quote what the file holds."""
    try:
        yield
    except (SightlineError, MemoryError):
        raise
    except Exception as error:
        raise RunCrashed(f"the originals could not be de-identified: {type(error).__name__}") from None
