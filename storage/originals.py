"""Sealed originals of patient data, and the de-identified copies that take their place in a job.

A job of patient data is handed in with sealed images. The first run that gets that far puts copies in their place, in
one transaction that holds only while the run holds its job; every later run, a retry or a replay, starts from them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select

from domain.errors import ImageMissing, RunStopped
from domain.images import SEALED, ImageRef
from domain.jobs import JobState
from domain.studies import StudyFacts
from storage.claims import ClaimedJob
from storage.original_tables import copies, originals
from storage.sealing import Sealing
from storage.tables import images, in_state, job_images, jobs


@dataclass(frozen=True)
class Copy:
    """A de-identified picture, stored already; what its file says of it, and the record of what was done to it."""

    ref: ImageRef
    facts: StudyFacts | None
    record: dict[str, Any]


def sealed(sealing: Sealing, tenant: str, data: bytes) -> tuple[bytes, ImageRef]:
    """Seal a file; return the sealed bytes and the image that they are. Raises StorageUnavailable."""
    closed = sealing.seal(tenant, data)
    sha256 = hashlib.sha256(closed).hexdigest()
    return closed, ImageRef(sha256=sha256, media_type=SEALED, bytes=len(closed), width=1, height=1)


def facts_of(connection: Connection, job_id: UUID) -> tuple[StudyFacts | None, ...] | None:
    """Return the facts of a job's pictures, in order; None while its images are the sealed originals."""
    rows = connection.execute(select(copies.c.facts).where(copies.c.job_id == job_id).order_by(copies.c.position))
    told = tuple(None if row.facts is None else StudyFacts.model_validate(row.facts) for row in rows)
    return told or None


def put_in_place(connection: Connection, job: ClaimedJob, made: Sequence[Copy], *, keep: bool) -> list[str]:
    """Let a running job name the copies instead of its originals; return the originals that nobody names any more.

    Raises RunStopped (`fenced`) where the run has lost its job meanwhile, and ImageMissing where a copy was removed.
    """
    _hold(connection, job)
    names = [copy.ref.sha256 for copy in made]
    stored = select(images.c.sha256).where(images.c.tenant == job.tenant, images.c.sha256.in_(names))
    # Locked until the commit: the sweep must not take a copy away before a row names it.
    if set(names) - set(connection.execute(stored.order_by(images.c.sha256).with_for_update(read=True)).scalars()):
        raise ImageMissing("a de-identified copy was removed before its job named it")
    connection.execute(delete(job_images).where(job_images.c.job_id == job.id))
    for at, copy in enumerate(made):
        facts = None if copy.facts is None else copy.facts.model_dump(mode="json")
        connection.execute(insert(job_images).values(job_id=job.id, position=at, sha256=copy.ref.sha256))
        connection.execute(insert(copies).values(job_id=job.id, position=at, facts=facts, record=copy.record))
    if keep:
        kept = [
            {"job_id": job.id, "file": at, "tenant": job.tenant, "sha256": sha} for at, sha in enumerate(job.images)
        ]
        connection.execute(insert(originals), kept)
    return _let_go(connection, job.tenant, job.images)


def kept(connection: Connection, tenant: str, job_id: UUID) -> list[str]:
    """Return the SHA-256 of the sealed originals that are kept of a tenant's job, by file."""
    mine = select(originals.c.sha256).where(originals.c.tenant == tenant, originals.c.job_id == job_id)
    return list(connection.execute(mine.order_by(originals.c.file)).scalars())


def _hold(connection: Connection, job: ClaimedJob) -> None:
    mine = select(jobs.c.id).where(jobs.c.id == job.id, jobs.c.token == job.token, in_state(JobState.RUNNING))
    if connection.execute(mine.with_for_update()).first() is None:
        raise RunStopped("fenced")


def _let_go(connection: Connection, tenant: str, names: Sequence[str]) -> list[str]:
    """Remove the rows of originals that no job names and that are not kept.

    The rows are locked first: a submission that names one holds it until its commit, and only a statement that begins
    after that sees what it named.
    """
    mine = (images.c.tenant == tenant, images.c.sha256.in_(names), images.c.media_type == SEALED)
    connection.execute(select(images.c.sha256).where(*mine).order_by(images.c.sha256).with_for_update())
    named = (
        select(job_images.c.job_id)
        .join(jobs, jobs.c.id == job_images.c.job_id)
        .where(job_images.c.sha256 == images.c.sha256, jobs.c.tenant == tenant)
    )
    still = select(originals.c.job_id).where(originals.c.sha256 == images.c.sha256, originals.c.tenant == tenant)
    gone = delete(images).where(*mine, ~named.exists(), ~still.exists()).returning(images.c.sha256)
    return list(connection.execute(gone).scalars())
