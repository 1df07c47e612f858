"""The worker's own queue: which jobs it has heard the doorbell for, in the order in which it will claim them.

The Celery task puts ids in and returns, so that no slot of Celery's pool ever waits for a job: nothing is held, starved
or timed out by the broker. What is lost here (the process dies) is rung for again.
"""

import heapq
import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from domain.jobs import Lane


class Heard(NamedTuple):
    """A job that was heard, in the order of claiming: by deadline, lane and age (ids grow with time)."""

    deadline: float
    """on the monotonic clock; infinity without one"""
    lane: int
    id: UUID
    suspect: bool


@dataclass
class Ears:
    """Ids that were heard and not yet claimed."""

    _heap: list[Heard] = field(default_factory=list)
    _known: set[UUID] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def hear(self, rows: Iterable[tuple[UUID, str, bool, float | None]]) -> bool:
        """Put in (id, lane, suspect, seconds to the deadline); one that is here already is not put in again.

        False once closed: nothing was heard.
        """
        now = time.monotonic()
        with self._changed:
            if self._closed:
                return False
            for job_id, lane, suspect, seconds in rows:
                if job_id not in self._known:
                    deadline = math.inf if seconds is None else now + seconds
                    self._known.add(job_id)
                    heapq.heappush(self._heap, Heard(deadline, Lane(lane).rank, job_id, suspect))
            self._changed.notify_all()
            return True

    def take(self, most: int, timeout_s: float) -> list[Heard]:
        """Take up to `most` of one kind: ordinary jobs, or a single suspect. Empty after the time-out."""
        with self._changed:
            if not self._heap and not self._closed:
                self._changed.wait(timeout_s)
            taken: list[Heard] = []
            while self._heap and len(taken) < most and not self._closed:
                if taken and (self._heap[0].suspect or taken[0].suspect):
                    break
                taken.append(heapq.heappop(self._heap))
                self._known.discard(taken[-1].id)
            return taken

    def put_back(self, heard: Iterable[Heard]) -> None:
        """Put back what could not be claimed now."""
        with self._changed:
            for one in heard:
                if one.id not in self._known:
                    self._known.add(one.id)
                    heapq.heappush(self._heap, one)

    def close(self) -> list[UUID]:
        """Hear no more; return what was heard and not claimed."""
        with self._changed:
            self._closed = True
            left = [heard.id for heard in self._heap]
            self._heap.clear()
            self._known.clear()
            self._changed.notify_all()
            return left

    def __len__(self) -> int:
        return len(self._heap)
