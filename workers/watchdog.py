"""Ends the process when it hangs or holds too much memory, with an exit code of its own; a supervisor restarts it.

A device call that never returns cannot be stopped from Python (nothing can interrupt native code), and the jobs of a
process that hangs would keep their lease for ever, since the heartbeat goes on. One that allocates without bound would
have the kernel take whatever it likes, the database included.

Native code that hangs and keeps the interpreter's lock stops this thread too. For that there is a timer in a thread
that needs no lock (`faulthandler`), set anew at each look. Where nobody did so for `stalled_s`, it writes to stderr
where every thread stands, and ends the process with the code 1. It leaves the notes as they are.
"""

import faulthandler
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

from workers.memory import resident_bytes
from workers.notes import Notes

log = logging.getLogger(__name__)

EXIT_HUNG = 86
"""The exit code of a process that the watchdog ended because it hung."""
EXIT_MEMORY = 87
"""The exit code of a process that the watchdog ended because it held too much memory."""
EXIT_FROZEN = 1
"""The exit code of a process in which no Python thread ran any more; faulthandler knows no other."""
MEGABYTE = 1024 * 1024
LOOK_EVERY_S = 0.2
TELL_S = 5.0
"""How long it may take to log why the process ends."""


@dataclass(eq=False)
class Watched:
    """A call under a limit."""

    what: str
    jobs: tuple[UUID, ...]
    limit_s: float
    until: float


@dataclass
class Watchdog:
    """Watches device calls, decodes, whole jobs, the loop that claims, and the memory of the process."""

    notes: Notes
    clock: Callable[[], float] = time.monotonic
    stalled_s: float = 120.0
    memory_limit: float = math.inf
    """in bytes"""
    measure: Callable[[], int] = resident_bytes
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
        watched = Watched("a device call or a decode", tuple(jobs), limit_s, self.clock() + limit_s)
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
            # A process that is stopped (SIGSTOP) for longer than this ends when it goes on. Its lease has lapsed by
            # then as a rule, so that there is nothing to lose.
            faulthandler.dump_traceback_later(self.stalled_s, exit=True)
            time.sleep(LOOK_EVERY_S)
            if self.clock() - looked > 10 * LOOK_EVERY_S:
                self._forgive(self.clock() - looked)  # the whole process stood still (SIGSTOP): nobody hung
            looked = self.clock()
            self._look(looked)

    def _look(self, now: float) -> None:
        held = self.measure()
        if held > self.memory_limit:
            # Whoever is on the device or decodes may be the one that asks for so much. All become suspects, and each
            # runs alone next: then it shows.
            limit = self.memory_limit / MEGABYTE
            self._end(
                f"it held {held / MEGABYTE:.0f} MB of memory, over its limit of {limit:.0f} MB", EXIT_MEMORY, None
            )
        for watched in self.overdue():
            self._end(f"{watched.what} passed its limit of {watched.limit_s:g} s", EXIT_HUNG, watched.jobs)
        if now - self._turned > self.stalled_s:
            self._end(f"no claim was tried for {self.stalled_s:g} s", EXIT_HUNG, ())

    def _forgive(self, stood_still_s: float) -> None:
        with self._lock:
            for watched in self._calls:
                watched.until += stood_still_s
        self._turned += stood_still_s

    def end(self, reason: str) -> None:
        """End the process: it cannot go on, and no job is to blame."""
        self._end(reason, EXIT_HUNG, ())

    def _end(self, reason: str, code: int, blamed: Collection[UUID] | None) -> None:
        """End the process. Its successor suspects who is to blame: these jobs, or all that are noted (None)."""
        if blamed is not None:
            self.notes.leave_only(blamed)
        self.notes.say(reason)
        # Whoever reads the log may stand still (a full pipe), and with it everyone who writes a line.
        with suppress(RuntimeError, MemoryError):  # no more threads are to be had
            threading.Thread(target=_end_after, args=(TELL_S, code), daemon=True).start()
        event = "worker.too_large" if code == EXIT_MEMORY else "worker.hung"
        log.critical("the watchdog ends this process: %s", reason, extra={"event": event})
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(code)


def _end_after(seconds: float, code: int) -> None:
    time.sleep(seconds)
    os._exit(code)
