"""Files made from a job, by name: rendered overlays. Whose they are follows from the job."""

from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from storage.clock import moment
from storage.tables import artifacts, jobs


def find(connection: Connection, tenant: str, job_id: UUID, name: str) -> str | None:
    """Return the SHA-256 of an artifact of the tenant's job, if it was made."""
    mine = select(artifacts.c.sha256).join(jobs, jobs.c.id == artifacts.c.job_id)
    return connection.execute(
        mine.where(jobs.c.tenant == tenant, artifacts.c.job_id == job_id, artifacts.c.name == name)
    ).scalar()


def add(connection: Connection, job_id: UUID, name: str, sha256: str, media_type: str) -> None:
    """Note an artifact; a newer one takes the place of the one before."""
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    told = {"sha256": sha256, "media_type": media_type, "created_at": moment()}
    fresh = kind(artifacts).values(job_id=job_id, name=name, **told)
    connection.execute(fresh.on_conflict_do_update(index_elements=[artifacts.c.job_id, artifacts.c.name], set_=told))
