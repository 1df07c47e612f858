"""A job's states, the transitions between them, and the lanes.

A job is frozen: what changes it is a guarded statement in `storage/`, which may only take one of the transitions below.
"""

from enum import StrEnum
from types import MappingProxyType


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    """accepted and durable; `not_before` may hold it back"""
    RUNNING = "running"
    """a worker holds its lease"""
    SUCCEEDED = "succeeded"
    """its result is stored"""
    FAILED = "failed"
    """a permanent error: typed code, message for people"""
    DEAD = "dead"
    """attempts or strikes used up; can be replayed"""
    CANCELLED = "cancelled"
    """asked for, and confirmed"""
    EXPIRED = "expired"
    """its deadline passed before it ran"""
    SUPERSEDED = "superseded"
    """a newer job with the same `supersede_key` took its place"""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self not in {JobState.QUEUED, JobState.RUNNING}


TRANSITIONS = MappingProxyType(
    {
        JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.EXPIRED, JobState.SUPERSEDED}),
        JobState.RUNNING: frozenset(
            {
                JobState.QUEUED,
                JobState.SUCCEEDED,
                JobState.FAILED,
                JobState.DEAD,
                JobState.CANCELLED,
                JobState.SUPERSEDED,
            }
        ),
        JobState.SUCCEEDED: frozenset(),
        JobState.FAILED: frozenset({JobState.QUEUED}),
        JobState.DEAD: frozenset({JobState.QUEUED}),
        JobState.CANCELLED: frozenset({JobState.QUEUED}),
        JobState.EXPIRED: frozenset({JobState.QUEUED}),
        JobState.SUPERSEDED: frozenset(),
    }
)
"""From each state, where a job may go. Back to `queued` from an end is a replay."""

REPLAYABLE = frozenset(state for state in JobState if state.ended and JobState.QUEUED in TRANSITIONS[state])
"""The ends from which a job can be started anew."""

STRIKES_TO_DEATH = 3
"""A suspect that takes its process with it so often is dead."""

LOSSES_TO_SUSPICION = 3
"""A job lost so often without a note of what it was doing becomes a suspect."""


class Lane(StrEnum):
    """How urgent a job is. Lanes have queues of their own, so that none waits behind another's backlog."""

    INTERACTIVE = "interactive"
    """somebody is waiting"""
    STANDARD = "standard"
    """the default"""
    BULK = "bulk"
    """whenever there is room"""

    @property
    def rank(self) -> int:
        """Their order, most urgent first."""
        return list(Lane).index(self)


def queue_name(application: str, lane: str) -> str:
    """Return the queue that rings for an application's lane."""
    return f"{application}.{lane}"
