"""What a job's calls are told to while it runs, so that a candidate can be asked the same once the job is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from domain.vision import Capability
from workers.models.family import Ask
from workers.registry import ModelSpec


@dataclass(frozen=True)
class Overheard:
    """A call that was answered, and how that went."""

    row: ModelSpec
    """as the profile has it"""
    ask: Ask
    answer: Any
    revision: str
    """that answered"""
    batch_size: int
    ran_s: float

    @property
    def bytes(self) -> int:
        """The memory that its pictures take."""
        return sum(pixels.nbytes for pixels in self.ask.pictures)


class Overhearing(Protocol):
    """Who wants to hear of calls. The first three neither wait nor raise: threads of jobs and commits call them."""

    def wants(self, job: UUID, row: ModelSpec, capability: Capability) -> bool:
        """Say whether to hear of a call."""

    def heard(self, job: UUID, calls: Sequence[Overheard]) -> None:
        """Take the calls of a job that succeeded and is about to be committed."""

    def settled(self, job: UUID, *, committed: bool) -> None:
        """Take it that a job was committed; or not, and then it may run elsewhere and be heard of from there."""

    def look(self) -> None:
        """See whether other calls are wanted now. For a thread that may wait."""


class Nobody:
    """Wants to hear of nothing."""

    def wants(self, job: UUID, row: ModelSpec, capability: Capability) -> bool:
        """See `Overhearing`."""
        return False

    def heard(self, job: UUID, calls: Sequence[Overheard]) -> None:
        """See `Overhearing`."""

    def settled(self, job: UUID, *, committed: bool) -> None:
        """See `Overhearing`."""

    def look(self) -> None:
        """See `Overhearing`."""
