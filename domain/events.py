"""The facts that leave the system: what dashboards and upstream systems are told."""

from enum import StrEnum

from domain.jobs import JobState


class EventType(StrEnum):
    """What happened. The names are stable."""

    QUEUED = "job.queued"
    """accepted"""
    RETRIED = "job.retried"
    """a run ended in an error that a retry can help"""
    RETURNED = "job.returned"
    """its worker was lost or drained; it is queued again and used up no attempt"""
    PROGRESS = "job.progress"
    """a round of a long job has ended; it goes on"""
    REPLAYED = "job.replayed"
    """started anew on request"""
    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    DEAD = "job.dead"
    CANCELLED = "job.cancelled"
    EXPIRED = "job.expired"
    SUPERSEDED = "job.superseded"
    REVIEW_ASKED = "review.asked"
    """a result waits for a person"""
    REVIEW_DECIDED = "review.decided"
    """a person has had the last word, on a result or on an appeal"""
    REVIEW_APPEALED = "review.appealed"
    """somebody objects to what was decided"""
    REPORT_DRAFTED = "report.drafted"
    """a machine's draft waits for a person; it is unverified"""
    REPORT_REVIEWED = "report.reviewed"
    REPORT_REVISED = "report.revised"
    REPORT_RESOLVED = "report.resolved"
    REPORT_REJECTED = "report.rejected"
    REPORT_SIGNED = "report.signed"
    """a version, the first or an amendment, was signed by a named clinician"""
    REPORT_AMENDED = "report.amended"
    """a version was begun in the place of a signed one, which stands until it is signed"""
    CONFIGURATION_ACTIVATED = "configuration.activated"
    """another version of a configuration holds from now on"""
    INTAKE_REJECTED = "intake.rejected"
    """a Celery producer's submission was not accepted"""


def ending(state: JobState) -> EventType:
    """Return the event that tells of an end."""
    return EventType(f"job.{state.value}")
