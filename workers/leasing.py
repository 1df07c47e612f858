"""A worker's lease, from the worker's side: renewing it, knowing when it has lapsed, and starting a new one.

A lease is judged twice. The database's clock decides when the reaper may give the jobs away. The worker's own monotonic
clock decides earlier: it counts from before the renewal was sent, so a worker that stood still (SIGSTOP, a cut network)
knows that it must not commit before the database could know.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from domain.errors import Unavailable

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""The longest pause after a renewal that failed: a dead line is found out late, and a new one may serve at once."""


@dataclass(eq=False)
class Lease:
    """One stretch of a worker's life in the database."""

    worker: UUID
    until: float
    """on the monotonic clock"""
    fenced: bool = False

    def holds(self) -> bool:
        """Whether jobs under this lease may still be committed."""
        return not self.fenced and time.monotonic() < self.until


class LeaseKeeper:
    """Renews the lease in a thread; a lapsed one is fenced and replaced by a new one."""

    def __init__(
        self,
        register: Callable[[], UUID],
        renew: Callable[[UUID], bool],
        lease_s: float,
        started: Callable[[Lease], None],
    ) -> None:
        self._register, self._renew, self._lease_s, self._started = register, renew, lease_s, started
        self._closing = threading.Event()
        self.lease = self._begin()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Renew no more."""
        self._closing.set()
        self._thread.join(timeout=2)

    def _begin(self) -> Lease:
        asked = time.monotonic()
        lease = Lease(self._register(), asked + self._lease_s)
        self._started(lease)
        return lease

    def _keep(self) -> None:
        usual = self._lease_s / 4
        pause = usual
        while not self._closing.wait(pause):
            pause = min(AGAIN_S, usual)
            try:
                self._once()
                pause = usual
            except Unavailable as error:
                log.warning("the lease was not renewed", extra={"event": "lease.not_renewed", "reason": str(error)})
            except Exception:
                # Without this thread the process would stay, hear doorbells and never run a job again.
                log.exception("the lease was not renewed", extra={"event": "lease.not_renewed"})

    def _once(self) -> None:
        asked, lease = time.monotonic(), self.lease
        if self._renew(lease.worker):
            lease.until = asked + self._lease_s
            return
        lease.fenced = True
        log.warning(
            "the lease has lapsed; its jobs are let go", extra={"event": "lease.lapsed", "worker": lease.worker}
        )
        self.lease = self._begin()


def disowning(
    disown: Callable[[UUID, list[UUID]], int],
    held: Callable[[], dict[UUID, Lease]],
    keeper: LeaseKeeper,
    every_s: float,
    closing: threading.Event,
) -> threading.Thread:
    """Start the thread that gives back what the database says this worker runs and that it does not hold.

    Not the keeper's own thread: this asks for jobs, and whoever holds their table (a migration) must not cost a worker
    its lease.
    """

    def look() -> None:
        while not closing.wait(every_s):
            worker = keeper.lease.worker
            try:
                given = disown(worker, [job_id for job_id, lease in held().items() if lease.worker == worker])
            except Exception as error:
                log.warning("claims cannot be compared", extra={"event": "claim.unseen", "reason": str(error)})
                continue
            if given:
                log.warning("claims that were never answered were given back", extra={"event": "claim.disowned"})

    thread = threading.Thread(target=look, name="disowning", daemon=True)
    thread.start()
    return thread
