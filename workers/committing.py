"""Committing outcomes, several in one transaction: whatever finished while the last commit was under way.

A commit that fails as a whole is repeated job by job, so that one result that cannot be stored does not keep the others
from it. So is one that the database did not answer: it may have been too much for it, together. While the database does
not answer, outcomes wait, as long as the lease under which they ran holds; one on which it gives up again and again is
refused.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from uuid import UUID

from domain.errors import StatementGivenUp, Unavailable
from domain.jobs import JobState
from storage.claims import ClaimedJob, Outcome
from workers.leasing import Lease

log = logging.getLogger(__name__)

TOGETHER = 64
PAUSE_S = 0.25
TRIES = 3
"""How often the database may give up on a single outcome: once may be due to what else it has to do."""


@dataclass(frozen=True)
class Finished:
    """A job's outcome, and the lease under which it ran."""

    outcome: Outcome
    lease: Lease


class Committer:
    """One thread that commits. `write` is one transaction; it returns the ids for which the guard held.

    `settled` is told of each job that it is done with here, and whether its outcome stands.
    """

    def __init__(
        self,
        write: Callable[[UUID, Sequence[Outcome]], set[UUID]],
        settled: Callable[[ClaimedJob, bool], None],
    ) -> None:
        self._write, self._settled = write, settled
        self._queue: queue.SimpleQueue[Finished | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="committer", daemon=True)
        self._thread.start()

    def put(self, finished: Finished) -> None:
        """Commit this soon."""
        self._queue.put(finished)

    def close(self) -> None:
        """Commit what is there, then stop."""
        self._queue.put(None)
        self._thread.join(timeout=30)

    def _serve(self) -> None:
        closing = False
        while not closing:
            batch = [self._queue.get()]
            while len(batch) < TOGETHER and not self._queue.empty():
                batch.append(self._queue.get())
            closing = None in batch
            finished = [one for one in batch if one is not None]
            for lease in {one.lease for one in finished}:
                self._commit(lease, [one.outcome for one in finished if one.lease is lease])

    def _commit(self, lease: Lease, outcomes: list[Outcome]) -> None:
        held: Set[UUID] = frozenset()
        try:
            held = self._write_while_it_holds(lease, outcomes)
        except Exception as error:
            if len(outcomes) == 1:
                self._refuse(lease, outcomes[0], error)
            else:
                for outcome in outcomes:
                    self._commit(lease, [outcome])
                return
        for outcome in outcomes:
            self._settled(outcome.job, outcome.job.id in held)

    def _write_while_it_holds(self, lease: Lease, outcomes: list[Outcome]) -> Set[UUID]:
        """Return the ids of those whose outcomes stand now."""
        given_up = 0
        while lease.holds():
            try:
                held = self._write(lease.worker, outcomes)
            except Unavailable as error:
                log.warning("a commit waits", extra={"event": "commit.waits", "reason": str(error)})
                given_up += isinstance(error, StatementGivenUp)
                if len(outcomes) > 1 or given_up == TRIES:
                    raise
                time.sleep(PAUSE_S)
                continue
            for outcome in outcomes:
                if outcome.job.id not in held:
                    log.warning("a commit was fenced", extra={"event": "commit.fenced", "job": outcome.job.id})
            return held
        for outcome in outcomes:
            log.warning("a lapsed lease's outcome was let go", extra={"event": "commit.let_go", "job": outcome.job.id})
        return frozenset()

    def _refuse(self, lease: Lease, outcome: Outcome, error: Exception) -> None:
        """End a job whose outcome the database does not take."""
        log.error(
            "an outcome cannot be stored", exc_info=error, extra={"event": "commit.refused", "job": outcome.job.id}
        )
        plain = replace(
            outcome,
            state=JobState.FAILED,
            body={},
            findings=(),
            calls=(),
            error_code="result_refused",
            error_message=f"the result cannot be stored: {type(error).__name__}",
        )
        try:
            self._write_while_it_holds(lease, [plain])
        except Exception:
            # Neither the outcome nor its refusal: held no longer, it is soon disowned by this worker, and runs again.
            log.exception("a job cannot be ended", extra={"event": "commit.impossible", "job": outcome.job.id})
