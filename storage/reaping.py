"""Ending what can no longer run: jobs past their deadline, and jobs whose place a newer one took."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, literal, select, update

from domain.jobs import JobState
from storage.clock import moment
from storage.counters import Slot
from storage.facts import Change, changed
from storage.heads import superseded
from storage.tables import in_state, jobs

AT_ONCE = 1_000


def expire(connection: Connection) -> int:
    """End queued jobs whose deadline has passed; return how many."""
    passed = jobs.c.deadline.is_not(None) & (jobs.c.deadline <= moment())
    return _end_queued(connection, JobState.EXPIRED, passed, jobs.c.deadline)


def end_superseded(connection: Connection) -> int:
    """End queued jobs of a `supersede_key` whose head is another: they ran when it came, and were given back since.

    One that has never run was ended by the submission that took its head, so only those with a token are looked at.
    """
    has_run = jobs.c.token > literal(0, literal_execute=True)
    keyed = jobs.c.supersede_key.is_not(None) & has_run
    return _end_queued(connection, JobState.SUPERSEDED, keyed & superseded(), jobs.c.id)


def _end_queued(
    connection: Connection, state: JobState, condition: ColumnElement[bool], order: ColumnElement[Any]
) -> int:
    # In the order of the condition's own index: asked for in another, a planner may walk the whole table in that one.
    found = (
        select(jobs.c.id)
        .where(in_state(JobState.QUEUED), condition)
        .order_by(order)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
        .cte("found")  # as a subquery PostgreSQL may ask it once for each row, and then its limit holds for none
    )
    ended = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(select(found.c.id)), in_state(JobState.QUEUED))
        .values(state=state.value, ended_at=moment())
        .returning(jobs.c.id, jobs.c.tenant, jobs.c.application, jobs.c.lane)
    ).all()
    slots = [(row.id, Slot(row.tenant, row.application, row.lane, state.value)) for row in ended]
    changed(connection, [Change(job_id, slot, JobState.QUEUED) for job_id, slot in slots])
    return len(ended)
