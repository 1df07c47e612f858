"""A database with many ended jobs and some that wait and run, filled quickly."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, func, insert, literal, select, text
from uuid_utils.compat import uuid7

from domain.jobs import JobState
from storage.leases import register
from storage.session import write
from storage.tables import counters, heads, job_images, jobs, results, workers

TENANTS = ("acme", "bolt", "cord", "dyne", "echo")
QUEUES = tuple(f"{name}.{lane}" for name in ("inspection", "signs") for lane in ("interactive", "standard", "bulk"))
ENDS = ("succeeded",) * 14 + ("failed", "cancelled", "expired", "superseded", "dead", "succeeded")
UNRUNG, RUNG, RUNNING = 500, 100, 100
"""How many jobs are alive by default, whatever the size of the table."""
CHUNK = 10_000
EMPTY: dict[str, Any] = {column.name: None for column in jobs.columns if column.nullable}


@dataclass(frozen=True)
class Alive:
    """What is alive in the table: a worker, and the ids that wait for it."""

    worker: UUID
    waiting: tuple[UUID, ...]
    running: tuple[UUID, ...]


def fill_alive(engine: Engine, unrung: int = UNRUNG) -> Alive:
    """Insert a worker, and jobs that wait, were rung for, and run."""
    told: dict[str, Any] = {"name": "worker-0", "host": "here", "pid": 1, "capacity": 8, "lease_s": 86_400.0}
    worker = write(engine, register, queues=list(QUEUES), **told)
    now = datetime.now(UTC)
    waiting = [_row(at, JobState.QUEUED, now, supersede=at % 5 == 0) for at in range(unrung)]
    rung = [_row(at, JobState.QUEUED, now) | {"rung_at": now} for at in range(RUNG)]
    running = [
        _row(at, JobState.RUNNING, now) | {"rung_at": now, "started_at": now, "worker": worker, "token": 1}
        for at in range(RUNNING)
    ]
    write(engine, _insert_alive, [*waiting, *rung, *running])
    return Alive(worker, tuple(row["id"] for row in waiting), tuple(row["id"] for row in running))


def find_alive(engine: Engine) -> Alive | None:
    """Return what is alive in a table that was filled before; None where it is empty."""
    queued = select(jobs.c.id).where(jobs.c.state == "queued", jobs.c.rung_at.is_(None)).order_by(jobs.c.id)
    running = select(jobs.c.id).where(jobs.c.state == "running").order_by(jobs.c.id)
    with engine.connect() as connection:
        worker = connection.execute(select(workers.c.id)).scalar()
        waiting, busy = (tuple(connection.execute(wanted).scalars()) for wanted in (queued, running))
    return None if worker is None else Alive(worker, waiting, busy)


def fill_ended(engine: Engine, count: int) -> None:
    """Insert that many ended jobs with an image each, and a result for each success; then let the database look."""
    begun = datetime.now(UTC) - timedelta(days=30)
    rows = (_ended(at, begun) for at in range(count))
    if engine.dialect.name == "postgresql":
        _copy(engine, rows)
    else:
        write(engine, _insert_in_chunks, rows)
    write(engine, _follow)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _row(at: int, state: JobState, now: datetime, *, supersede: bool = False) -> dict[str, Any]:
    application, _, lane = QUEUES[at % len(QUEUES)].partition(".")
    return EMPTY | {
        "id": uuid7(),
        "tenant": TENANTS[at % len(TENANTS)],
        "application": application,
        "lane": lane,
        "state": state.value,
        "params": {},
        "meta": {},
        "fingerprint": "ab" * 32,
        "idempotency_key": f"key-{state.value}-{uuid7()}" if at % 2 else None,
        "supersede_key": f"part-{at}" if supersede else None,
        "created_at": now,
        "ready_at": now - timedelta(seconds=1),
        "deadline": now + timedelta(days=1) if at % 4 == 0 else None,
        "token": 0,
        "attempts": 0,
        "losses": 0,
        "strikes": 0,
        "suspect": False,
        "cancel_requested": False,
        "late": False,
        "restricted": False,
    }


def _ended(at: int, begun: datetime) -> dict[str, Any]:
    then = begun + timedelta(seconds=at)
    state = JobState(ENDS[at % len(ENDS)])
    more = {"rung_at": then, "started_at": then, "ended_at": then, "token": 1}
    return _row(at * 7, state, then, supersede=at % 3 == 0) | more


def _insert_alive(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(jobs), rows)
    named = (
        {"tenant": r["tenant"], "application": r["application"], "key": r["supersede_key"], "job_id": r["id"]}
        for r in rows
    )
    connection.execute(insert(heads), [one for one in named if one["key"]])


def _insert_in_chunks(connection: Connection, rows: Iterator[dict[str, Any]]) -> None:
    while chunk := list(islice(rows, CHUNK)):
        connection.execute(insert(jobs), chunk)


def _copy(engine: Engine, rows: Iterator[dict[str, Any]]) -> None:
    """Copy rows in PostgreSQL's text format."""
    names = [column.name for column in jobs.columns]
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy(f"COPY jobs ({', '.join(names)}) FROM STDIN") as copy:
            while chunk := list(islice(rows, CHUNK)):
                lines = io.StringIO()
                for row in chunk:
                    lines.write("\t".join(_text(row[name]) for name in names) + "\n")
                copy.write(lines.getvalue())


def _text(value: object) -> str:
    if value is None:
        return "\\N"
    return "{}" if value == {} else str(value)


def _follow(connection: Connection) -> None:
    """Insert what follows from the jobs: images, results, counts."""
    new = jobs.c.id.not_in(select(job_images.c.job_id))
    connection.execute(
        insert(job_images).from_select(
            ["job_id", "position", "sha256"], select(jobs.c.id, literal(0), literal("cd" * 32)).where(new)
        )
    )
    succeeded = (jobs.c.state == "succeeded", jobs.c.id.not_in(select(results.c.job_id)))
    columns = ["job_id", "token", "version", "headline", "body", "pictures", "created_at"]
    empty = (literal({}, results.c.body.type), literal([], results.c.pictures.type))
    told = select(jobs.c.id, jobs.c.token, literal("1"), literal("ACCEPT"), *empty, jobs.c.created_at)
    connection.execute(insert(results).from_select(columns, told.where(*succeeded)))
    connection.execute(counters.delete())
    slot = (jobs.c.tenant, jobs.c.application, jobs.c.lane, jobs.c.state)
    counted = select(*slot, func.count()).group_by(*slot)
    connection.execute(insert(counters).from_select([column.name for column in counters.columns], counted))
