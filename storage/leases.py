"""Workers and their leases. A job's lease is its worker's: one row to renew, however many jobs run.

A worker's row is ended once, by whoever notices first: itself when it leaves, its successor on the same machine, or the
reaper when its lease has lapsed. Ending it and giving its jobs back is one transaction, so no job is given back twice.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, insert, null, select, true, update
from uuid_utils.compat import uuid7

from domain.events import EventType
from domain.jobs import LOSSES_TO_SUSPICION, STRIKES_TO_DEATH, JobState
from storage.bell import notify
from storage.clock import moment
from storage.counters import Slot
from storage.facts import Change, changed
from storage.tables import in_state, jobs, workers


class Ending(NamedTuple):
    """How a worker ended: whether its jobs were lost, and which of them it was busy with when it died."""

    reason: str
    lost: bool = True
    noted: Collection[UUID] = ()


def register(
    connection: Connection, *, name: str, host: str, pid: int, queues: list[str], capacity: int, lease_s: float
) -> UUID:
    """Enter a new worker with a fresh lease and return its id."""
    worker = uuid7()
    connection.execute(
        insert(workers).values(
            id=worker,
            name=name,
            host=host,
            pid=pid,
            queues=queues,
            capacity=capacity,
            started_at=moment(),
            lease_until=moment(lease_s),
        )
    )
    notify(connection)
    return worker


def renew(connection: Connection, worker: UUID, lease_s: float) -> bool:
    """Renew a worker's lease; false when it was ended or has lapsed, and the worker must stop committing."""
    renewed = connection.execute(
        update(workers)
        .where(workers.c.id == worker, workers.c.ended_at.is_(None), workers.c.lease_until > moment())
        .values(lease_until=moment(lease_s))
    )
    return renewed.rowcount == 1


def lapsed(connection: Connection) -> list[UUID]:
    """Return the workers whose lease has run out."""
    return list(
        connection.execute(
            select(workers.c.id).where(workers.c.ended_at.is_(None), workers.c.lease_until <= moment())
        ).scalars()
    )


def end(connection: Connection, worker: UUID, ending: Ending, *, only_lapsed: bool = False) -> int:
    """End a worker and give its jobs back; return how many. A worker that has ended already is left alone.

    A lost job uses up no attempt. One that the dead worker had noted becomes suspect; so does one lost too often
    without a note. A suspect runs alone, so a suspect that is lost has a strike, and too many make it dead. The reaper
    may have been faster than the successor that reads the notes: what they say is kept all the same.
    """
    mine = workers.c.lease_until <= moment() if only_lapsed else true()
    # Locked outright, and looked at again once it is: an update alone would not wait for a claim.
    alive = select(workers.c.id).where(workers.c.id == worker, workers.c.ended_at.is_(None), mine).with_for_update()
    ended = connection.execute(
        update(workers).where(workers.c.id.in_(alive)).values(ended_at=moment(), end_reason=ending.reason)
    )
    if not ended.rowcount:
        _suspect(connection, ending.noted)
        return 0
    held = select(jobs).where(jobs.c.worker == worker, in_state(JobState.RUNNING)).order_by(jobs.c.id).with_for_update()
    changes = [_give_back(connection, job, ending) for job in connection.execute(held).all()]
    changed(connection, changes)
    if changes:
        notify(connection)
    return len(changes)


def _suspect(connection: Connection, noted: Collection[UUID]) -> None:
    if noted:
        waits_or_runs = in_state(JobState.QUEUED) | in_state(JobState.RUNNING)
        connection.execute(update(jobs).where(jobs.c.id.in_(sorted(noted)), waits_or_runs).values(suspect=True))


def disown(connection: Connection, worker: UUID, held: Collection[UUID], older_than_s: float) -> int:
    """Give back jobs that the database says this worker runs, but that it does not hold; return how many.

    A claim whose COMMIT got through while its answer did not (a cut connection) leaves such a job: its worker renews
    its lease for ever and never runs it.
    """
    unknown = (
        select(jobs)
        .where(
            jobs.c.worker == worker,
            in_state(JobState.RUNNING),
            jobs.c.started_at < moment(-older_than_s),
            jobs.c.id.not_in(list(held)),
        )
        .order_by(jobs.c.id)
        .with_for_update()
    )
    ending = Ending("its claim was never answered", lost=False)
    changes = [_give_back(connection, job, ending) for job in connection.execute(unknown).all()]
    changed(connection, changes)
    return len(changes)


def hand_back(connection: Connection, ids: Sequence[UUID]) -> None:
    """Let jobs that were heard but not claimed be rung for again, at once."""
    if ids:
        waiting = (jobs.c.id.in_(ids), in_state(JobState.QUEUED))
        connection.execute(update(jobs).where(*waiting).values(rung_at=null()))
        notify(connection)


def _give_back(connection: Connection, job: Row[Any], ending: Ending) -> Change:
    noted = job.id in ending.noted
    losses = job.losses + int(ending.lost and not noted)
    strikes = job.strikes + int(ending.lost and job.suspect)
    values: dict[str, Any] = {"losses": losses, "strikes": strikes}
    values["suspect"] = job.suspect or noted or losses >= LOSSES_TO_SUSPICION
    body: dict[str, Any] = {"reason": ending.reason}
    if job.cancel_requested:
        state = JobState.CANCELLED
    elif strikes >= STRIKES_TO_DEATH:
        state = JobState.DEAD
        values["error_code"] = "struck_out"
        values["error_message"] = f"it was lost {strikes} times while it ran alone in its worker; last: {ending.reason}"
        body["error"] = {"code": values["error_code"], "message": values["error_message"]}
    else:
        state = JobState.QUEUED
    if state is JobState.QUEUED:
        values |= {"rung_at": null(), "worker": null(), "ready_at": moment()}
    else:
        values["ended_at"] = moment()
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(state=state.value, **values))
    slot = Slot(job.tenant, job.application, job.lane, state.value)
    event = EventType.RETURNED if state is JobState.QUEUED else None
    return Change(job.id, slot, JobState.RUNNING, event, body)
