"""The tables of what people decide: review items and their decisions, corrected results, configurations, the audit log.

What changes them is in `reviews.py`, `versions_of_results.py`, `configurations.py` and `audit.py`. Decisions, versions,
activations and the audit log are only ever added to.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    Named,
    PrimaryKeyConstraint,
    String,
    Table,
    TypedColumns,
    Uuid,
    false,
    text,
)

from storage.clock import Moment
from storage.schema import Json, Serial, metadata


class reviews_columns(TypedColumns):  # noqa: N801
    """An item that waits, or waited, for a person. It is held by whoever claimed it until `claim_until`."""

    id: Named[UUID] = Column(Uuid, primary_key=True)
    tenant: Named[str] = Column(String(64))
    application: Named[str] = Column(String(64))
    job_id: Named[UUID] = Column(Uuid)
    kind: Named[str] = Column(String(16))
    queue: Named[str] = Column(String(64))
    reasons: Named[list[str]] = Column(Json)
    summary: Named[str] = Column(String(4000))
    priority: Named[int] = Column(Integer)
    four_eyes: Named[bool] = Column(server_default=false())
    restricted: Named[bool] = Column(server_default=false())
    state: Named[str] = Column(String(16))
    barred: Named[list[str]] = Column(Json)
    claimed_by: Named[UUID | None] = Column(Uuid)
    claimed_name: Named[str | None] = Column(String(128))
    claim: Named[int] = Column(Integer, server_default="0")
    claim_until: Named[datetime | None] = Column(Moment)
    created_at: Named[datetime] = Column(Moment)
    decided_at: Named[datetime | None] = Column(Moment)


reviews = Table("reviews", metadata, reviews_columns)
UNDECIDED = text("decided_at IS NULL")
Index(
    "ix_reviews_waiting",
    reviews.c.tenant,
    reviews.c.application,
    reviews.c.queue,
    reviews.c.id,
    sqlite_where=UNDECIDED,
    postgresql_where=UNDECIDED,
)
Index("ix_reviews_job_id", reviews.c.job_id)
Index("ix_reviews_tenant", reviews.c.tenant, reviews.c.id)


class review_decisions_columns(TypedColumns):  # noqa: N801
    """A decision: who took it, when, why, of which version of the result (0 is the machine's)."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    review_id: Named[UUID] = Column(Uuid)
    job_id: Named[UUID] = Column(Uuid)
    tenant: Named[str] = Column(String(64))
    reviewer: Named[UUID] = Column(Uuid)
    reviewer_name: Named[str] = Column(String(128))
    verb: Named[str] = Column(String(16))
    reason: Named[str] = Column(String(64))
    comment: Named[str] = Column(String(4000))
    correction: Named[dict[str, Any] | None] = Column(Json)
    from_version: Named[int | None] = Column(Integer)
    made_version: Named[int | None] = Column(Integer)
    at: Named[datetime] = Column(Moment)


review_decisions = Table("review_decisions", metadata, review_decisions_columns)
Index("ix_review_decisions_review_id", review_decisions.c.review_id)
Index("ix_review_decisions_tenant", review_decisions.c.tenant, review_decisions.c.id)


class result_versions_columns(TypedColumns):  # noqa: N801
    """A corrected result; the machine's own, version 0, stays in `results` as it is."""

    job_id: Named[UUID] = Column(Uuid)
    version: Named[int] = Column(Integer)
    contract: Named[str] = Column(String(32))
    headline: Named[str] = Column(String(400))
    body: Named[dict[str, Any]] = Column(Json)
    by: Named[str] = Column(String(128))
    created_at: Named[datetime] = Column(Moment)


result_versions = Table("result_versions", metadata, result_versions_columns, PrimaryKeyConstraint("job_id", "version"))


class configurations_columns(TypedColumns):  # noqa: N801
    """A version of a policy, a recipe, an intended use. It never changes."""

    tenant: Named[str] = Column(String(64))
    application: Named[str] = Column(String(64))
    kind: Named[str] = Column(String(64))
    name: Named[str] = Column(String(64))
    version: Named[int] = Column(Integer)
    digest: Named[str] = Column(String(64))
    body: Named[dict[str, Any]] = Column(Json)
    by: Named[str] = Column(String(128))
    because: Named[str] = Column(String(1000))
    created_at: Named[datetime] = Column(Moment)


configurations = Table(
    "configurations",
    metadata,
    configurations_columns,
    PrimaryKeyConstraint("tenant", "application", "kind", "name", "version"),
)


class configuration_activations_columns(TypedColumns):  # noqa: N801
    """Since when which version holds; the newest row of a name says which does."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    tenant: Named[str] = Column(String(64))
    application: Named[str] = Column(String(64))
    kind: Named[str] = Column(String(64))
    name: Named[str] = Column(String(64))
    version: Named[int] = Column(Integer)
    by: Named[str] = Column(String(128))
    because: Named[str] = Column(String(1000))
    at: Named[datetime] = Column(Moment)


configuration_activations = Table("configuration_activations", metadata, configuration_activations_columns)
Index(
    "ix_configuration_activations_name",
    configuration_activations.c.tenant,
    configuration_activations.c.application,
    configuration_activations.c.kind,
    configuration_activations.c.name,
    configuration_activations.c.id,
)


class audit_log_columns(TypedColumns):  # noqa: N801
    """What somebody did, in an order without gaps; `hash` covers the row and the hash of the one before it."""

    seq: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    at: Named[datetime] = Column(Moment)
    tenant: Named[str | None] = Column(String(64))
    actor: Named[str] = Column(String(200))
    key_id: Named[UUID | None] = Column(Uuid)
    action: Named[str] = Column(String(64))
    subject: Named[str] = Column(String(200))
    facts: Named[dict[str, Any]] = Column(Json)
    previous: Named[str] = Column(String(64))
    hash: Named[str] = Column(String(64))


audit_log = Table("audit_log", metadata, audit_log_columns)
Index("ix_audit_log_tenant", audit_log.c.tenant, audit_log.c.seq)


class audit_head_columns(TypedColumns):  # noqa: N801
    """The last row of the audit log: one row, locked by whoever adds to the log."""

    id: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    seq: Named[int] = Column(BigInteger)
    hash: Named[str] = Column(String(64))


audit_head = Table("audit_head", metadata, audit_head_columns)
