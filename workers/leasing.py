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
        while not self._closing.wait(self._lease_s / 4):
            try:
                self._once()
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
