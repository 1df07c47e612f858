"""Results and their versions: what the machine answered, version 0, and what people made of it. None ever changes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, insert, select

from storage.clock import moment
from storage.review_tables import result_versions as versions
from storage.tables import results


class Version(BaseModel):
    """A version of a result: the machine's, 0, or a person's correction of the one before it."""

    model_config = ConfigDict(frozen=True)

    version: int
    contract: str
    """the version of the application's contract that the body keeps"""
    headline: str
    body: dict[str, Any]
    by: str | None
    """who corrected it; None of the machine's"""
    created_at: datetime


def versions_of(connection: Connection, job_id: UUID) -> list[Version]:
    """Return all versions of a job's result, the machine's first; none where it has no result."""
    machine = connection.execute(select(results).where(results.c.job_id == job_id)).first()
    if machine is None:
        return []
    told = {"contract": machine.version, **_of(machine)}
    rows = connection.execute(select(versions).where(versions.c.job_id == job_id).order_by(versions.c.version))
    later = [Version(version=row.version, contract=row.contract, by=row.by, **_of(row)) for row in rows]
    return [Version(version=0, by=None, **told), *later]


def add_version(connection: Connection, job_id: UUID, made: Version, by: str) -> None:
    """Keep a corrected version behind the others."""
    told = made.model_dump(exclude={"by", "created_at"})
    connection.execute(insert(versions).values(job_id=job_id, **told, by=by, created_at=moment()))


def _of(row: Any) -> dict[str, Any]:  # noqa: ANN401  (a row of either table)
    return {"headline": row.headline, "body": row.body, "created_at": row.created_at}
