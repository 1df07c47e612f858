"""Noticing that the database's clock was set back, by this process's monotonic clock, which nobody sets."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage.clock_steps import latest_known, now, set_back
from storage.session import Engine, read, write

log = logging.getLogger(__name__)

SLACK = timedelta(seconds=2)
"""How far two clocks may drift between two looks."""


@dataclass
class ClockWatch:
    """Looks at the database's clock now and then. At the first look it compares with what the tables tell."""

    engine: Engine
    lease_s: float
    monotonic: Callable[[], float] = time.monotonic
    _seen: tuple[datetime, float] | None = field(default=None, init=False)

    def look(self) -> int:
        """Put right what a step back would hold up, if there was one; return how many jobs it was."""
        # Judged by when it was asked for, kept by when it came: an answer that took its time is no step back.
        asked, told, came = self.monotonic(), read(self.engine, now), self.monotonic()
        before, freed = self._expected(asked), 0
        if before is not None and told < before - SLACK:
            freed = write(self.engine, set_back, before, self.lease_s)
            log.warning(
                "the database's clock was set back by %s",
                before - told,
                extra={"event": "clock.set_back", "jobs": freed},
            )
        self._seen = (told, came)
        return freed

    def _expected(self, at: float) -> datetime | None:
        if self._seen is None:
            return read(self.engine, latest_known)
        told, then = self._seen
        return told + timedelta(seconds=at - then)
