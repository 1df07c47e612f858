"""The tables of reports: what each version says, what people did to it, and the signatures.

All but `reports.state` and `reports.changed_at` is only ever added to. A version's state is stored nowhere: it follows
from what was done to it, so no column can be set to `signed`. Triggers made by the migration refuse every change of
what is signed, whoever asks for it: see `migrations/versions/0007_reports.py`. What adds rows is in `reports.py`.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Column,
    Identity,
    Index,
    Integer,
    Named,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypedColumns,
    Uuid,
)

from storage.clock import Moment
from storage.schema import Json, Serial, metadata


class reports_columns(TypedColumns):  # noqa: N801
    """A report; whoever changes it locks this row. `state` is the newest version's, for lists alone."""

    id: Named[UUID] = Column(Uuid, primary_key=True)
    tenant: Named[str] = Column(String(64))
    job_id: Named[UUID] = Column(Uuid)
    state: Named[str] = Column(String(16))
    subject: Named[str] = Column(String(128))
    study_uid: Named[str | None] = Column(String(64))
    accession_salt: Named[str | None] = Column(String(32))
    accession_hash: Named[str | None] = Column(String(64))
    created_at: Named[datetime] = Column(Moment)
    changed_at: Named[datetime] = Column(Moment)


reports = Table("reports", metadata, reports_columns)
Index("ix_reports_tenant", reports.c.tenant, reports.c.state, reports.c.id)
Index("ix_reports_job_id", reports.c.job_id)


class report_versions_columns(TypedColumns):  # noqa: N801
    """What a version says, anew with each edit; the last edit holds. `content` is canonical JSON, to the letter."""

    report_id: Named[UUID] = Column(Uuid)
    number: Named[int] = Column(Integer)
    edit: Named[int] = Column(Integer)
    amends: Named[int | None] = Column(Integer)
    content: Named[str] = Column(Text)
    content_hash: Named[str] = Column(String(64))
    blocking: Named[list[str]] = Column(Json)
    by: Named[str | None] = Column(String(128))
    created_at: Named[datetime] = Column(Moment)


report_versions = Table(
    "report_versions", metadata, report_versions_columns, PrimaryKeyConstraint("report_id", "number", "edit")
)


class report_acts_columns(TypedColumns):  # noqa: N801
    """That a person reviewed or rejected an edit, or resolved a discrepancy of a version."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    report_id: Named[UUID] = Column(Uuid)
    number: Named[int] = Column(Integer)
    edit: Named[int] = Column(Integer)
    kind: Named[str] = Column(String(16))
    discrepancy: Named[str | None] = Column(String(500))
    words: Named[str | None] = Column(String(500))
    key_id: Named[UUID] = Column(Uuid)
    person: Named[str] = Column(String(128))
    at: Named[datetime] = Column(Moment)


report_acts = Table("report_acts", metadata, report_acts_columns)
Index("ix_report_acts_report_id", report_acts.c.report_id)


class report_signatures_columns(TypedColumns):  # noqa: N801
    """Who answers for which content. A version is signed where there is such a row, and nowhere else."""

    report_id: Named[UUID] = Column(Uuid)
    number: Named[int] = Column(Integer)
    content_hash: Named[str] = Column(String(64))
    statement: Named[str] = Column(String(500))
    key_id: Named[UUID] = Column(Uuid)
    person: Named[str] = Column(String(128))
    signed_at: Named[datetime] = Column(Moment)


report_signatures = Table(
    "report_signatures", metadata, report_signatures_columns, PrimaryKeyConstraint("report_id", "number")
)
