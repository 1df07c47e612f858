"""A backlog as a hundred thousand submissions leave it, written fast: the rows that `submit` writes, all of them."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, delete, func, insert, select, text
from uuid_utils.compat import uuid7

from domain.events import EventType
from domain.images import ImageLimits
from domain.jobs import JobState
from domain.requests import JobRequest
from storage.image_check import examine
from storage.image_store import ImageStore
from storage.images import keep
from storage.session import write
from storage.tables import counter_deltas, events, job_images, jobs
from storage.tenants import ensure
from tests.support.system import System, picture

Rows = list[dict[str, Any]]


def stored_picture(one: System, tenant: str, order: int, shade: int = 0) -> str:
    """Keep a picture that gives the drill this order, for a tenant who may be new; return its hash."""
    data = picture(order, shade)
    write(one.engine, ensure, tenant)
    return keep(
        one.engine, ImageStore(one.settings.images_url), tenant, data, examine(data, ImageLimits(), "picture.png")
    ).sha256


def pile_up(one: System, tenant: str, count: int, order: int, **request: object) -> list[UUID]:
    """Have a tenant's jobs waiting, all with the same request; return their ids."""
    sha256 = stored_picture(one, tenant, order)
    told = JobRequest.model_validate({"application": "inspection", "images": [sha256], **request})
    ids = [uuid7() for _ in range(count)]
    now = datetime.now(UTC)
    slot = {"tenant": tenant, "application": told.application, "lane": told.lane.value}
    queued = {**slot, "state": JobState.QUEUED.value}
    rows = (
        (jobs, [_job(job_id, told, now) | queued for job_id in ids]),
        (job_images, [{"job_id": job_id, "position": 0, "sha256": sha256} for job_id in ids]),
        (counter_deltas, [{**queued, "delta": 1} for _ in ids]),
        (events, [_event(job_id, tenant, queued, now) for job_id in ids]),
    )
    write(one.engine, _put, rows)  # in one transaction, as a submission is: a worker may be waiting for them
    if one.engine.dialect.name == "postgresql" and count >= 1_000:
        # As autovacuum does within a minute of so many submissions.
        with one.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
    return ids


def _job(job_id: UUID, told: JobRequest, now: datetime) -> dict[str, Any]:
    return {
        "id": job_id,
        "params": told.params,
        "meta": told.metadata,
        "fingerprint": told.fingerprint(),
        "created_at": now,
        "ready_at": now,
        "deadline": told.deadline,
    }


def _event(job_id: UUID, tenant: str, queued: dict[str, str], now: datetime) -> dict[str, Any]:
    body = {name: queued[name] for name in ("application", "lane", "state")}
    return {"tenant": tenant, "type": EventType.QUEUED.value, "job_id": job_id, "body": body, "created_at": now}


def _put(connection: Connection, tables: Sequence[tuple[Table, Rows]]) -> None:
    for table, rows in tables:
        if connection.dialect.name == "postgresql":
            _copy(connection, table, rows)
        else:
            connection.execute(insert(table), rows)


def _copy(connection: Connection, table: Table, rows: Rows) -> None:
    names = list(rows[0])
    lines = io.StringIO()
    for row in rows:
        lines.write("\t".join(_text(row[name]) for name in names) + "\n")
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
        copy.write(lines.getvalue())


def _text(value: object) -> str:
    if value is None:
        return "\\N"
    return json.dumps(value).replace("\\", "\\\\") if isinstance(value, dict) else str(value)


def take_back(one: System) -> tuple[int, list[UUID]]:
    """Have what still waits never submitted; return how many that were, and the jobs that are left.

    No test has the time to work off a hundred thousand jobs. Whoever calls this has stopped workers and dispatchers.
    """
    return write(one.engine, _take_back)


def _take_back(connection: Connection) -> tuple[int, list[UUID]]:
    waits = jobs.c.state == JobState.QUEUED.value
    slot = (jobs.c.tenant, jobs.c.application, jobs.c.lane, jobs.c.state)
    counted = select(*slot, -func.count()).where(waits).group_by(*slot)
    names = ["tenant", "application", "lane", "state", "delta"]
    connection.execute(insert(counter_deltas).from_select(names, counted))
    for table in (job_images, events):
        connection.execute(delete(table).where(table.c.job_id.in_(select(jobs.c.id).where(waits))))
    taken = connection.execute(delete(jobs).where(waits)).rowcount
    return taken, list(connection.execute(select(jobs.c.id)).scalars())
