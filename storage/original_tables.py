"""The tables of what came through the door: de-identified copies, and the originals that a site keeps."""

from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, Integer, Named, PrimaryKeyConstraint, String, Table, TypedColumns, Uuid

from storage.schema import Json, metadata


class copies_columns(TypedColumns):  # noqa: N801
    """What is known of each picture of a job whose images are de-identified copies by now."""

    job_id: Named[UUID] = Column(Uuid)
    position: Named[int] = Column(Integer)
    facts: Named[dict[str, Any] | None] = Column(Json)
    record: Named[dict[str, Any]] = Column(Json)


copies = Table("copies", metadata, copies_columns, PrimaryKeyConstraint("job_id", "position"))


class originals_columns(TypedColumns):  # noqa: N801
    """A sealed original that is kept although its job no longer names it."""

    job_id: Named[UUID] = Column(Uuid)
    file: Named[int] = Column(Integer)
    tenant: Named[str] = Column(String(64))
    sha256: Named[str] = Column(String(64))


originals = Table("originals", metadata, originals_columns, PrimaryKeyConstraint("job_id", "file"))
Index("ix_originals_sha256", originals.c.sha256)
