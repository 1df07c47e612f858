"""The worker's own queue: which jobs it has heard the doorbell for, in the order in which it will claim them.

The Celery task puts ids in and returns, so that no slot of Celery's pool ever waits for a job: nothing is held, starved
or timed out by the broker. What is lost here (the process dies) is rung for again; what stays here for long is not,
because the worker says that it still has it (`remembering`).
"""

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from uuid import UUID

from domain.errors import Unavailable
from domain.jobs import Lane

log = logging.getLogger(__name__)


class Heard(NamedTuple):
    """A job that was heard, in the order of claiming among its tenant's: by deadline and age (ids grow with time)."""

    deadline: float
    """on the monotonic clock; infinity without one"""
    id: UUID
    lane: int
    tenant: str
    suspect: bool
    since: float
    """when it was heard, on the monotonic clock"""


@dataclass
class Ears:
    """Ids that were heard and not yet claimed: the most urgent lane first, its tenants in turn.

    The turn is what the dispatcher rang by, and has to be kept here: by age alone, a job of another tenant would wait
    for all that was submitted before it, since each doorbell brings in one that is older still. For the same reason a
    deadline counts among a tenant's own jobs: one who gives all of them a deadline must not pass everybody else.
    """

    _lanes: dict[int, dict[str, list[Heard]]] = field(default_factory=dict)
    """by lane and tenant, a heap each; a lane's tenants in the order of their turns"""
    _known: dict[UUID, Heard] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def hear(self, rows: Iterable[tuple[UUID, str, bool, float | None, str]]) -> bool:
        """Put in (id, lane, suspect, seconds to the deadline, tenant); one that is here is not put in again.

        False once closed: nothing was heard.
        """
        now = time.monotonic()
        with self._changed:
            if self._closed:
                return False
            for job_id, lane, suspect, seconds, tenant in rows:
                deadline = math.inf if seconds is None else now + seconds
                self._put(Heard(deadline, job_id, Lane(lane).rank, tenant, suspect, now))
            self._changed.notify_all()
            return True

    def take(self, most: int, timeout_s: float) -> list[Heard]:
        """Take up to `most` of one kind: ordinary jobs, or a single suspect. Empty after the time-out."""
        with self._changed:
            if not self._known and not self._closed:
                self._changed.wait(timeout_s)
            taken: list[Heard] = []
            while self._known and len(taken) < most:
                if taken and (self._first().suspect or taken[0].suspect):
                    break
                taken.append(self._pop())
            return taken

    def put_back(self, heard: Sequence[Heard]) -> list[UUID]:
        """Put back what could not be claimed now, before all others of its lane; return what closed ears do not take.

        The caller hands that back: it was taken before `close` returned what was here, and nobody else knows of it.
        """
        with self._changed:
            if self._closed:
                return [one.id for one in heard]
            for one in reversed(heard):
                if self._put(one):
                    tenants = self._lanes[one.lane]
                    self._lanes[one.lane] = {one.tenant: tenants.pop(one.tenant), **tenants}
            return []

    def here_for(self, seconds: float) -> list[UUID]:
        """Return the jobs that were heard at least so long ago."""
        until = time.monotonic() - seconds
        with self._changed:
            return [one.id for one in self._known.values() if one.since <= until]

    def close(self) -> list[UUID]:
        """Hear no more; return what was heard and not claimed."""
        with self._changed:
            self._closed = True
            left = list(self._known)
            self._known.clear()
            self._lanes.clear()
            self._changed.notify_all()
            return left

    def __len__(self) -> int:
        return len(self._known)

    def _put(self, one: Heard) -> bool:
        if one.id in self._known:
            return False
        self._known[one.id] = one
        heapq.heappush(self._lanes.setdefault(one.lane, {}).setdefault(one.tenant, []), one)
        return True

    def _first(self) -> Heard:
        return next(iter(self._lanes[min(self._lanes)].values()))[0]

    def _pop(self) -> Heard:
        """Take the first one out, and let its tenant's next turn come behind the others'."""
        one = self._first()
        tenants = self._lanes[one.lane]
        theirs = tenants.pop(one.tenant)
        heapq.heappop(theirs)
        if theirs:
            tenants[one.tenant] = theirs
        elif not tenants:
            del self._lanes[one.lane]
        del self._known[one.id]
        return one


def remembering(
    ears: Ears, tell: Callable[[Sequence[UUID]], object], rering_s: float, closing: threading.Event
) -> threading.Thread:
    """Start the thread that says, for as long as jobs wait here, that their doorbells are not lost."""
    thread = threading.Thread(target=partial(_remember, ears, tell, rering_s / 4, closing), name="ears", daemon=True)
    thread.start()
    return thread


def _remember(ears: Ears, tell: Callable[[Sequence[UUID]], object], every_s: float, closing: threading.Event) -> None:
    while not closing.wait(every_s):
        waiting = ears.here_for(every_s)  # a quick worker claims sooner than that, and has nothing to tell
        try:
            if waiting:
                tell(sorted(waiting))
        except Unavailable as error:
            log.warning("what waits cannot be told", extra={"event": "ears.untold", "reason": str(error)})
        except Exception:
            # Without this thread all that waits here would be rung for again and again.
            log.exception("what waits cannot be told", extra={"event": "ears.untold"})
