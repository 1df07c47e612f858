"""A worker's job threads: claim what was heard as threads come free, perform, hand the outcome to the committer.

Job threads wait only for batchers, never for each other; a straggler does not idle the rest. A suspect runs only when
nothing else is in flight in the process, so that if it takes the process with it, it takes nobody else.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from domain.errors import Unavailable
from domain.jobs import JobState
from storage.claims import ClaimedJob, Outcome
from workers.committing import Finished
from workers.hearing import Ears, Heard
from workers.leasing import Lease

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
PAUSE_S = 0.5


@dataclass(frozen=True)
class Links:
    """What the crew needs from its process: one function for each step of a job's way."""

    lease: Callable[[], Lease]
    claim: Callable[[UUID, Sequence[UUID], bool], list[ClaimedJob]]
    perform: Callable[[ClaimedJob, Callable[[], str | None]], Outcome | None]
    commit: Callable[[Finished], None]
    hand_back: Callable[[Sequence[UUID]], None]
    """lets others have what was heard here and will not be claimed"""
    turned: Callable[[], None]
    """tells the watchdog that the claiming loop has come round"""


@dataclass
class Running:
    """A job in a job thread."""

    job: ClaimedJob
    lease: Lease
    stop: str | None = None
    taken: bool = False
    """whether somebody has begun with it: a job thread, or who returns it because there is none"""

    def stopped(self) -> str | None:
        """Why the job should stop, if it should."""
        return self.stop if self.lease.holds() else "fenced"


@dataclass
class Crew:
    """The job threads of one process."""

    size: int
    ears: Ears
    links: Links
    _running: dict[UUID, Running] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closing: bool = False

    def start(self) -> None:
        """Begin to claim."""
        self._pool = ThreadPoolExecutor(self.size, thread_name_prefix="job")
        self._thread = threading.Thread(target=self._claim_on, name="claims", daemon=True)
        self._thread.start()

    def held(self) -> dict[UUID, Lease]:
        """Return the jobs that this process holds, not yet committed, and their leases."""
        with self._changed:
            return {job_id: running.lease for job_id, running in self._running.items()}

    def stop(self, reasons: dict[UUID, str]) -> None:
        """Ask running jobs to stop at their next checkpoint, each with its reason."""
        with self._changed:
            for job_id, reason in reasons.items():
                if job_id in self._running:
                    self._running[job_id].stop = reason

    def settled(self, job: ClaimedJob) -> None:
        """Say that a job's outcome has been committed or let go."""
        with self._changed:
            running = self._running.get(job.id)
            if running is not None and running.job.token == job.token:
                del self._running[job.id]
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Claim no more and wait for what runs; say whether everything ended in time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=5)
        until = time.monotonic() + timeout_s
        with self._changed:
            while self._running and time.monotonic() < until:
                self.links.turned()  # nothing claims any more, which the watchdog must not take for a stall
                self._changed.wait(min(LOOK_EVERY_S, until - time.monotonic()))
            return not self._running

    def _claim_on(self) -> None:
        while not self._closing:
            self.links.turned()
            free = self._free(LOOK_EVERY_S)
            heard = self.ears.take(free, LOOK_EVERY_S) if free > 0 else []
            if heard:
                self._claim(heard)

    def _free(self, timeout_s: float) -> int:
        """Return how many threads are free, waiting a while for one; none while a suspect runs."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._room() > 0, timeout_s)
            return 0 if self._closing else self._room()

    def _room(self) -> int:
        if any(running.job.suspect for running in self._running.values()):
            return 0
        return self.size - len(self._running)

    def _claim(self, heard: list[Heard]) -> None:
        suspects = heard[0].suspect
        if suspects and not self._alone():
            self._put_back(heard)
            return
        lease = self.links.lease()
        if not lease.holds():
            self._later(heard)
            return
        try:
            for job in self.links.claim(lease.worker, [one.id for one in heard], suspects):
                self._begin(Running(job, lease))
        except Unavailable as error:
            log.warning("a claim waits", extra={"event": "claim.waits", "reason": str(error)})
            self._later(heard)
        except Exception:
            # Without this thread the process would stay, renew its lease and never claim again.
            log.exception("a claim failed", extra={"event": "claim.failed"})
            self._later(heard)

    def _later(self, heard: list[Heard]) -> None:
        self._put_back(heard)
        time.sleep(PAUSE_S)

    def _put_back(self, heard: list[Heard]) -> None:
        left = self.ears.put_back(heard)
        if left:  # the process leaves
            self.links.hand_back(left)

    def _alone(self) -> bool:
        """Wait for a while until nothing else is in flight; say whether it is so."""
        with self._changed:
            return (
                self._changed.wait_for(lambda: not self._running or self._closing, LOOK_EVERY_S) and not self._closing
            )

    def _begin(self, running: Running) -> None:
        with self._changed:
            self._running[running.job.id] = running
        try:
            self._pool.submit(self._perform, running)
        except (RuntimeError, MemoryError):
            # The machine has no more threads. The pool keeps what it was given, for a thread that may come free.
            if self._take(running):
                log.exception("a job cannot begin", extra={"event": "job.no_thread", "job": running.job.id})
                back = Outcome(running.job, JobState.QUEUED, delay_s=PAUSE_S)
                self.links.commit(Finished(back, running.lease))

    def _take(self, running: Running) -> bool:
        """Be the one who begins with it, or not."""
        with self._changed:
            mine, running.taken = not running.taken, True
            return mine

    def _perform(self, running: Running) -> None:
        if not self._take(running):
            return
        try:
            outcome = self.links.perform(running.job, running.stopped)
        except BaseException:
            # A job thread must not end in silence: its job would count as running until this process ends.
            log.exception("a job thread failed", extra={"event": "job.thread_failed", "job": running.job.id})
            outcome = None
        if outcome is None:
            self.settled(running.job)
        else:
            self.links.commit(Finished(outcome, running.lease))


def checkpoints(crew: Crew, look: Callable[[list[UUID]], dict[UUID, str]], closing: threading.Event) -> None:
    """Ask the database, twice a second, which running jobs should stop; tell them."""
    while not closing.wait(LOOK_EVERY_S):
        held = list(crew.held())
        try:
            if held:
                crew.stop(look(held))
        except Unavailable as error:
            log.warning("cancels cannot be seen", extra={"event": "cancels.unseen", "reason": str(error)})
        except Exception:
            # Without this thread no running job would ever hear of its cancel again.
            log.exception("cancels cannot be seen", extra={"event": "cancels.unseen"})


def watching(crew: Crew, look: Callable[[list[UUID]], dict[UUID, str]], closing: threading.Event) -> threading.Thread:
    """Start the thread of `checkpoints`."""
    thread = threading.Thread(target=partial(checkpoints, crew, look, closing), name="checkpoints", daemon=True)
    thread.start()
    return thread
