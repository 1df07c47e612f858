"""Finding out that a worker is deaf: jobs were rung for on its queues, it has nothing to do, and it hears nothing.

Celery and Kombu have gone deaf in more ways than one in a broker's outage, and each was mended; this is for the next
one. Nothing else would notice: the worker renews its lease, and the dispatcher goes on ringing for it.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from domain.errors import Unavailable

log = logging.getLogger(__name__)


@dataclass
class Doubt:
    """Since when a worker should have heard something.

    Of two workers the other one may have heard what waits, so patience is several times the re-ring time. Where it was
    just that, a restart of an idle ear harms nobody.
    """

    patience_s: float
    clock: Callable[[], float] = time.monotonic
    _heard: int = -1
    _since: float | None = None

    def look(self, heard: int, *, should_hear: bool) -> bool:
        """Say whether the ear must be deaf, told how many messages it ever heard, and whether there is one to hear."""
        if heard != self._heard or not should_hear:
            self._heard, self._since = heard, None
            return False
        self._since = self.clock() if self._since is None else self._since
        if self.clock() - self._since < self.patience_s:
            return False
        self._since = None
        return True


@dataclass
class Listening:
    """Has a worker's ear opened again when it is deaf."""

    doubt: Doubt
    heard: Callable[[], int]
    idle: Callable[[], bool]
    rung: Callable[[], bool]
    """whether a job waits that was rung for on this worker's queues"""
    restart: Callable[[str], None]

    def look(self) -> None:
        """Look once."""
        if self.doubt.look(self.heard(), should_hear=self.idle() and self.rung()):
            self.restart(f"jobs were rung for, and nothing was heard in {self.doubt.patience_s:g} s")

    def start(self, every_s: float, closing: threading.Event) -> None:
        """Look every so often, in a thread, until closing."""

        def watch() -> None:
            while not closing.wait(every_s):
                try:
                    self.look()
                except Unavailable as error:
                    log.warning("who is rung for is not known", extra={"event": "ear.unknown", "reason": str(error)})
                except Exception:
                    log.exception("the ear is not looked after", extra={"event": "ear.unknown"})

        threading.Thread(target=watch, name="listening", daemon=True).start()
