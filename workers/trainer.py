"""Training as a job: in a process of its own, told of round by round, stopped at any step.

What is learnt lies in `DATA/training/JOB/` until the job ends well: whoever claims the job next goes on from there.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domain.errors import RunStopped, Unavailable
from storage.claims import ClaimedJob
from storage.facts import progressed
from storage.session import Engine, write
from storage.settings import Settings

if TYPE_CHECKING:
    from workers.training.loop import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobTrainer:
    """Trains for one job. torch is imported by the first one, and not while the process waits for it."""

    settings: Settings
    engine: Engine
    leaving: Callable[[], bool]
    """whether this process was told to leave"""
    job: ClaimedJob
    checkpoint: Callable[[], None]
    """raises RunStopped where the job is to end"""

    def train(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """See Trainer. Raises InvalidRequest on what cannot be trained, RunStopped where the job is to end."""
        from workers.training.as_job import train

        run = self.settings.data / "training" / str(self.job.id)
        return train(asked, self.settings, run, f"job {self.job.id}", self._report, self._stop)

    def _stop(self) -> None:
        """Leave the job to another process where this one leaves: a training is not over within a drain's time."""
        if self.leaving():
            raise RunStopped("fenced")
        self.checkpoint()

    def _report(self, progress: "Progress") -> None:
        if progress.round is None:
            return
        from workers.training.training import told

        body = {"share": round(min(progress.share, 1.0), 4), "examples": progress.examples, **told(progress.round)}
        try:
            write(self.engine, progressed, self.job.id, self.job.token, body)
        except Unavailable as error:
            log.warning("a round is not told of", extra={"event": "training.untold", "reason": str(error)})
