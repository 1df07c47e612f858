"""Ends the process when it hangs, with an exit code of its own; a supervisor restarts it.

A device call that never returns cannot be stopped from Python (nothing can interrupt native code), and the jobs of a
process that hangs would keep their lease for ever, since the heartbeat goes on.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from workers.notes import Notes

log = logging.getLogger(__name__)

EXIT_HUNG = 86
"""The exit code of a process that the watchdog ended."""
LOOK_EVERY_S = 0.2


@dataclass(eq=False)
class Watched:
    """A call under a limit."""

    what: str
    jobs: tuple[UUID, ...]
    limit_s: float
    until: float


@dataclass
class Watchdog:
    """Watches device calls, decodes, whole jobs, and the loop that claims."""

    notes: Notes
    clock: Callable[[], float] = time.monotonic
    stalled_s: float = 120.0
    _calls: set[Watched] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turned: float = 0.0

    def start(self) -> None:
        """Begin to look."""
        self.turned()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def turned(self) -> None:
        """Say that the claiming loop has come round."""
        self._turned = self.clock()

    @contextmanager
    def guarding(self, jobs: Sequence[UUID], limit_s: float) -> Iterator[None]:
        """Note the jobs of a device call or a decode, and watch the time (seconds) while the block runs."""
        watched = Watched("a device call", tuple(jobs), limit_s, self.clock() + limit_s)
        with self._watching(watched), self.notes.noting(jobs):
            yield

    @contextmanager
    def timing(self, job: UUID, limit_s: float) -> Iterator[None]:
        """Watch the time (seconds) of a whole job, without a note: most of it endangers nobody else."""
        with self._watching(Watched("a job", (job,), limit_s, self.clock() + limit_s)):
            yield

    @contextmanager
    def _watching(self, watched: Watched) -> Iterator[None]:
        with self._lock:
            self._calls.add(watched)
        try:
            yield
        finally:
            with self._lock:
                self._calls.discard(watched)

    def overdue(self) -> list[Watched]:
        """Return the calls that are past their limit."""
        now = self.clock()
        with self._lock:
            return [watched for watched in self._calls if watched.until < now]

    def _watch(self) -> None:
        looked = self.clock()
        while True:
            time.sleep(LOOK_EVERY_S)
            if self.clock() - looked > 10 * LOOK_EVERY_S:
                self._forgive(self.clock() - looked)  # the whole process stood still (SIGSTOP): nobody hung
            looked = self.clock()
            for watched in self.overdue():
                self._end(f"{watched.what} passed its limit of {watched.limit_s:g} s", watched)
            if looked - self._turned > self.stalled_s:
                self._end(f"no claim was tried for {self.stalled_s} s", None)

    def _forgive(self, stood_still_s: float) -> None:
        with self._lock:
            for watched in self._calls:
                watched.until += stood_still_s
        self._turned += stood_still_s

    def end(self, reason: str) -> None:
        """End the process: it cannot go on, and no job is to blame."""
        self._end(reason, None)

    def _end(self, reason: str, watched: Watched | None) -> None:
        self.notes.leave_only(watched.jobs if watched else ())
        log.critical("the watchdog ends this process: %s", reason, extra={"event": "worker.hung"})
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(EXIT_HUNG)
