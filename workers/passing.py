"""What a worker knows of the door of patient data without loading what opens it: DICOM takes seconds to import."""

from dataclasses import dataclass
from typing import Protocol

from domain.studies import StudyFacts
from storage.claims import ClaimedJob
from workers.vision import JobVision


@dataclass(frozen=True)
class Passed:
    """A job's images as its application may see them, and what is known of each; no facts where there is no door."""

    images: tuple[str, ...]
    facts: tuple[StudyFacts | None, ...]


class Doorkeeper(Protocol):
    """What lets a job of patient data in; `workers.door.Door` does."""

    def pass_through(self, job: ClaimedJob, vision: JobVision, most: int) -> Passed:
        """Return the de-identified copies of a job's images, at most so many, with what is known of them."""
