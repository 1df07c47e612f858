"""What must hold of an installation after every fault, checked row by row and file by file."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from domain.applications import application
from domain.events import EventType, ending
from domain.jobs import JobState
from storage.counters import counts
from storage.image_store import FOLDERS, ImageStore
from storage.images import sweep
from storage.review_tables import reviews
from storage.session import read
from storage.tables import events, findings, images, job_images, jobs, model_calls, results
from tests.support.drill import QUICK
from tests.support.system import System, states
from tests.support.waiting import eventually

GOOD_S = 15.0


def invariant(one: System, submitted: Sequence[UUID]) -> None:
    """Check that every accepted job reached exactly one end, with one effect, and that the system works on.

    The process that the fault took away is started again first where nobody else did; a good job is submitted then, and
    has to succeed.
    """
    good = a_good_job_succeeds(one)
    one.wait_for_the_end(GOOD_S)  # where nothing ran until now, the others may be a moment behind that one
    read(one.engine, _check, {*submitted, good})
    eventually(lambda: read(one.engine, _numbered), 5, "every event has its place in the feed")
    _check_images(one)


def a_good_job_succeeds(one: System) -> UUID:
    """Submit a job that nothing is wrong with, on whatever is left of the system, and return it when it succeeded."""
    for role in ("dispatch", "worker"):
        if not one.alive(role):
            one.start(role)
    (good,) = one.submit(QUICK, metadata={"for": "the invariant"})
    state = select(jobs.c.state).where(jobs.c.id == good)

    def succeeded() -> bool:
        return read(one.engine, lambda connection: connection.execute(state).scalar_one()) == JobState.SUCCEEDED

    try:
        eventually(succeeded, GOOD_S, "a good job submitted afterwards succeeds")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{one.logs()}") from None
    return good


def _check(connection: Connection, submitted: set[UUID]) -> None:
    rows = {row.id: row for row in connection.execute(select(jobs))}
    assert set(rows) == submitted, "no job is lost, and none is made up"
    assert all(JobState(row.state).ended and row.ended_at is not None for row in rows.values())
    succeeded = {row.id for row in rows.values() if row.state == JobState.SUCCEEDED}
    kept = {row.job_id: row for row in connection.execute(select(results))}
    assert set(kept) == succeeded, "a result for each success, and for nothing else"
    assert all(kept[job_id].token == rows[job_id].token for job_id in succeeded), "by the run that held the job"
    assert _per_job(connection, findings) == {
        job_id: len(kept[job_id].body["defects"]) for job_id in succeeded if kept[job_id].body["defects"]
    }, "one set of findings"
    assert set(_per_job(connection, model_calls)) <= succeeded
    assert _per_job(connection, job_images) == dict.fromkeys(rows, 1), "one picture each, as it was submitted"
    asked_about = {job_id for job_id in succeeded if needs(rows[job_id].application, kept[job_id].body)}
    assert _per_job(connection, reviews) == dict.fromkeys(asked_about, 1), "one item for each result that asks for one"
    _check_events(connection, {job_id: JobState(row.state) for job_id, row in rows.items()})
    assert _counted(connection) == states(connection), "counters agree with the rows"


def needs(name: str, body: dict[str, Any]) -> bool:
    """Say whether a result of an application is to be put before people."""
    wanted = application(name)
    return wanted.review(wanted.result.model_validate(body)) is not None


def _per_job(connection: Connection, table) -> dict[UUID, int]:
    found = connection.execute(select(table.c.job_id, func.count()).group_by(table.c.job_id))
    return {row[0]: row[1] for row in found}


def _check_events(connection: Connection, ended: dict[UUID, JobState]) -> None:
    told: dict[UUID, list[str]] = defaultdict(list)
    of_jobs = select(events.c.job_id, events.c.type).where(events.c.type.startswith("job.")).order_by(events.c.id)
    for job_id, kind in connection.execute(of_jobs):
        told[job_id].append(kind)
    ends = {ending(state) for state in JobState if state.ended}
    assert set(told) == set(ended)
    for job_id, state in ended.items():
        count = Counter(told[job_id])
        assert count[EventType.QUEUED] == 1
        assert sum(count[end] for end in ends) == 1 + count[EventType.REPLAYED], f"one end a life: {told[job_id]}"
        assert told[job_id][-1] == ending(state), "nothing is told after the end"


def _counted(connection: Connection) -> dict[str, int]:
    # Asked in one statement, as the product does: in two, the dispatcher may fold between them.
    total: dict[str, int] = {}
    for count in counts(connection):
        total[count.state] = total.get(count.state, 0) + count.jobs
    return {state: number for state, number in total.items() if number}


def _numbered(connection: Connection) -> bool:
    unnumbered = select(func.count()).select_from(events).where(events.c.feed_id.is_(None))
    return connection.execute(unnumbered).scalar_one() == 0


def _check_images(one: System) -> None:
    """Every row's file is whole, and no file outlives the sweep without a row."""
    store = ImageStore(one.settings.images_url)
    swept = sweep(one.engine, store, 0.0, FOLDERS)
    named = set(read(one.engine, lambda connection: list(connection.execute(select(images.c.sha256)).scalars())))
    assert all(hashlib.sha256(store.get(sha256)).hexdigest() == sha256 for sha256 in named), "no file is truncated"
    left = {file.name.rpartition("/")[2] for file in store.files()}
    assert left == named, f"no file is left that nobody names ({swept})"
