"""Telling the database, off the hot path, what became of this process's models."""

import logging
import threading
from collections.abc import Callable, Sequence
from uuid import UUID

from storage.model_loads import ModelTally

log = logging.getLogger(__name__)


class Tallying:
    """Keeps the database's tallies of one process up with its own. For one thread."""

    def __init__(
        self, tallies: Callable[[], list[ModelTally]], tell: Callable[[UUID, Sequence[ModelTally]], object]
    ) -> None:
        self._tallies, self._tell = tallies, tell
        self._worker: UUID | None = None
        self._told: dict[str, ModelTally] = {}
        self._before: dict[str, ModelTally] = {}
        """what was told under leases before this one, whose rows stay"""

    def look(self, worker: UUID) -> None:
        """Tell what has changed, as this worker's."""
        now = {tally.model: tally for tally in self._tallies()}
        renewed = worker != self._worker
        if now == self._told and not (renewed and now):
            return
        before = self._told if renewed else self._before
        self._tell(worker, [tally.since(before.get(name, _none(tally))) for name, tally in now.items()])
        self._worker, self._told, self._before = worker, now, before

    def look_if_possible(self, worker: UUID) -> None:
        """Tell what has changed; where that fails, it is told the next time."""
        try:
            self.look(worker)
        except Exception as error:
            log.warning("the models' tallies are not told", extra={"event": "tallies.untold", "reason": str(error)})


def tallying(
    tallies: Tallying, worker: Callable[[], UUID], every_s: float, closing: threading.Event
) -> threading.Thread:
    """Start the thread that tells the tallies now and then, and once more at the end."""

    def look() -> None:
        while not closing.wait(every_s):
            tallies.look_if_possible(worker())
        tallies.look_if_possible(worker())

    thread = threading.Thread(target=look, name="tallying", daemon=True)
    thread.start()
    return thread


def _none(tally: ModelTally) -> ModelTally:
    return tally._replace(loads=0, evictions=0, thrashes=0)
