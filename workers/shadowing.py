"""The shadow of one process: for a share of the jobs, what a model was asked is asked of a candidate as well.

A job neither waits for this nor learns of it. Its calls are handed on when it has been committed, and what cannot be
kept until then is dropped and counted. How a candidate is asked is in `candidate.py`.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from uuid import UUID

from domain.vision import Capability
from storage.shadows import Shadow, ShadowAnswer, ShadowLoss
from workers.candidate import Candidate, Means
from workers.overhearing import Overheard
from workers.registry import ModelSpec

log = logging.getLogger(__name__)

MOST_BYTES = 256 * 1024 * 1024
"""So much memory the pictures may take that wait, for a commit or for a candidate."""


class Shadowing:
    """The candidates of a process, by the row that they are candidates for. See `Overhearing`."""

    def __init__(
        self,
        rows: Sequence[ModelSpec],
        active: Callable[[], dict[str, Shadow]],
        collect: Callable[[Sequence[ShadowAnswer], Sequence[ShadowLoss]], object],
        means: Means,
    ) -> None:
        self._rows, self._active, self._collect, self._means = rows, active, collect, means
        self._candidates: dict[str, Candidate] = {}
        self._ended: list[Candidate] = []
        """whose last words are not told yet"""
        self._uncommitted: dict[UUID, Sequence[Overheard]] = {}
        self._known = threading.Lock()

    def wants(self, job: UUID, row: ModelSpec, capability: Capability) -> bool:
        """Say whether a candidate is to be asked what this job asks."""
        candidate = self._candidates.get(row.name)
        return candidate is not None and candidate.wants(job, capability)

    def heard(self, job: UUID, calls: Sequence[Overheard]) -> None:
        """Keep the calls of a job until it is committed, as far as there is room."""
        waiting = sum(candidate.waiting_bytes for candidate in list(self._candidates.values()))
        with self._known:
            waiting += sum(call.bytes for held in self._uncommitted.values() for call in held)
            kept = []
            for call in calls:
                waiting += call.bytes
                if waiting <= MOST_BYTES:
                    kept.append(call)
                elif candidate := self._candidates.get(call.row.name):
                    candidate.drop()
            if kept:
                self._uncommitted[job] = kept

    def settled(self, job: UUID, *, committed: bool) -> None:
        """Hand the calls of a job on that was committed; forget those of one that was not."""
        with self._known:
            calls = self._uncommitted.pop(job, ())
        for call in calls if committed else ():
            if candidate := self._candidates.get(call.row.name):
                candidate.ask(job, call)

    def look(self) -> None:
        """Begin with new candidates, end those that are not wanted any more, and tell what came of calls.

        Raises what the two functions raise that reach the database.
        """
        active = self._active()
        for row in self._rows:
            self._put(row, active.get(row.registered))
        for candidate in self._candidates.values():
            candidate.give_up_if_late()
        self.tell()

    def tell(self) -> None:
        """Tell what came of calls. Where that fails, it is not told again: nobody acts on it."""
        speaking = [*self._ended, *self._candidates.values()]
        self._ended.clear()
        told = [candidate.take_told() for candidate in speaking]
        answers = [answer for given, _ in told for answer in given]
        losses = [loss for _, lost in told for loss in lost]
        if answers or losses:
            self._collect(answers, losses)

    def set_aside(self) -> None:
        """Unload the candidates that are not being asked."""
        for candidate in list(self._candidates.values()):
            candidate.set_aside()

    def _put(self, row: ModelSpec, wanted: Shadow | None) -> None:
        here = self._candidates.get(row.name)
        if here is not None and here.shadow != wanted:
            del self._candidates[row.name]
            here.end()
            self._ended.append(here)
        if wanted is not None and (here is None or here.shadow != wanted):
            facts = {"event": "shadow.begun", "model": row.name, "revision": wanted.revision, "share": wanted.share}
            self._candidates[row.name] = Candidate(wanted, row, self._means)
            log.info("a candidate is in the shadow", extra=facts)
