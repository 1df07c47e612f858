"""Following promotions while a worker runs: which revisions its registered models mean, and which candidates are asked.

One thread looks now and then, loads what was promoted, and sees off what it took the place of. No job waits for it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from domain.errors import ModelUnavailable
from workers.registry import ModelSpec
from workers.residency import Residency

log = logging.getLogger(__name__)

AGAIN_S = 120.0
"""How long a revision that could not be loaded is let be: to find its files changed, all of them must be read."""


@dataclass
class Renewing:
    """Keeps the loaded models of a process at the revisions that their rows mean. For one thread."""

    rows: Sequence[ModelSpec]
    residency: Residency
    clock: Callable[[], float] = time.monotonic
    _refused: dict[str, float] = field(default_factory=dict)
    """until when a row is let be"""

    def look(self) -> None:
        """Load what was promoted, and unload what it took the place of."""
        for row in self.rows:
            if self._refused.get(row.name, 0.0) <= self.clock():
                self._renew(row)
        self.residency.see_off()

    def _renew(self, row: ModelSpec) -> None:
        try:
            self.residency.renew(row)
        except ModelUnavailable as error:
            self._refused[row.name] = self.clock() + AGAIN_S
            facts = {"event": "model.not_renewed", "model": row.name, "reason": error.message}
            log.warning("a model stays at the revision that it has", extra=facts)


def renewing(looks: Sequence[Callable[[], None]], every_s: float, closing: threading.Event) -> threading.Thread:
    """Start the thread that takes each of these looks now and then."""

    def go_on() -> None:
        while not closing.wait(every_s):
            for look in looks:
                try:
                    look()
                except Exception as error:
                    # Without this thread the process would serve what is promoted now for as long as it lives.
                    log.warning("promotions are not seen", extra={"event": "promotions.unseen", "reason": str(error)})

    thread = threading.Thread(target=go_on, name="renewing", daemon=True)
    thread.start()
    return thread
