"""The tables. What changes them is in the file of that concern; how they came to be is in `migrations/`.

Partial indexes are compared with literals (see `in_state`): SQLite uses one only for an exact match of its condition,
and a prepared statement of PostgreSQL cannot know what a parameter will hold.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
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
    literal,
    text,
)

from domain.jobs import JobState
from storage import (  # noqa: F401  (`metadata` is to be taken whole)
    bank_tables,
    original_tables,
    report_tables,
    review_tables,
    revision_tables,
)
from storage.clock import Moment
from storage.schema import Json, Serial
from storage.schema import metadata as metadata


class jobs_columns(TypedColumns):  # noqa: N801  (SQLAlchemy's way of naming them)
    """A job, from its acceptance to its end. A queued row with no `rung_at` wants a doorbell."""

    id: Named[UUID] = Column(Uuid, primary_key=True)
    tenant: Named[str] = Column(String(64))
    application: Named[str] = Column(String(64))
    lane: Named[str] = Column(String(16))
    state: Named[str] = Column(String(16))
    params: Named[dict[str, Any]] = Column(Json)
    meta: Named[dict[str, Any]] = Column(Json)
    fingerprint: Named[str] = Column(String(64))
    idempotency_key: Named[str | None] = Column(String(200))
    supersede_key: Named[str | None] = Column(String(200))
    created_at: Named[datetime] = Column(Moment)
    ready_at: Named[datetime] = Column(Moment)
    deadline: Named[datetime | None] = Column(Moment)
    rung_at: Named[datetime | None] = Column(Moment)
    started_at: Named[datetime | None] = Column(Moment)
    ended_at: Named[datetime | None] = Column(Moment)
    worker: Named[UUID | None] = Column(Uuid)
    token: Named[int] = Column(Integer, server_default="0")
    attempts: Named[int] = Column(Integer, server_default="0")
    losses: Named[int] = Column(Integer, server_default="0")
    strikes: Named[int] = Column(Integer, server_default="0")
    suspect: Named[bool] = Column(server_default=false())
    cancel_requested: Named[bool] = Column(server_default=false())
    late: Named[bool] = Column(server_default=false())
    restricted: Named[bool] = Column(server_default=false())
    error_code: Named[str | None] = Column(String(64))
    error_message: Named[str | None] = Column(String(2000))


jobs = Table("jobs", metadata, jobs_columns)

QUEUED = text("state = 'queued'")
UNRUNG = text("state = 'queued' AND rung_at IS NULL")
RUNNING = text("state = 'running'")


def _partial(name: str, condition: Any, *columns: Any, unique: bool = False) -> Index:  # noqa: ANN401
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


_partial("ix_jobs_unrung", UNRUNG, jobs.c.application, jobs.c.lane, jobs.c.tenant, jobs.c.ready_at)
_partial(
    "ix_jobs_unrung_deadline",
    text("state = 'queued' AND rung_at IS NULL AND deadline IS NOT NULL"),
    jobs.c.application,
    jobs.c.lane,
    jobs.c.tenant,
    jobs.c.deadline,
)
_partial(
    "ix_jobs_rung",
    text("state = 'queued' AND rung_at IS NOT NULL"),
    jobs.c.application,
    jobs.c.lane,
    jobs.c.rung_at,
)
_partial("ix_jobs_running", RUNNING, jobs.c.application, jobs.c.lane)
_partial("ix_jobs_running_worker", RUNNING, jobs.c.worker)
_partial("ix_jobs_deadline", text("state = 'queued' AND deadline IS NOT NULL"), jobs.c.deadline)
_partial("ix_jobs_supersede", text("state = 'queued' AND supersede_key IS NOT NULL AND token > 0"), jobs.c.id)
_partial(
    "uq_jobs_idempotency",
    text("idempotency_key IS NOT NULL"),
    jobs.c.tenant,
    jobs.c.idempotency_key,
    unique=True,
)
Index("ix_jobs_latest", jobs.c.tenant, jobs.c.id)
Index("ix_jobs_latest_state", jobs.c.tenant, jobs.c.state, jobs.c.id)
Index("ix_jobs_latest_application", jobs.c.tenant, jobs.c.application, jobs.c.id)


def in_state(state: JobState) -> ColumnElement[bool]:
    """Compare `jobs.state` with a literal, so that partial indexes are used."""
    return jobs.c.state == literal(state.value, literal_execute=True)


class heads_columns(TypedColumns):  # noqa: N801
    """The newest job of each `supersede_key`."""

    tenant: Named[str] = Column(String(64))
    application: Named[str] = Column(String(64))
    key: Named[str] = Column(String(200))
    job_id: Named[UUID] = Column(Uuid)


heads = Table("heads", metadata, heads_columns, PrimaryKeyConstraint("tenant", "application", "key"))


class images_columns(TypedColumns):  # noqa: N801
    """Which tenant owns which stored image."""

    tenant: Named[str] = Column(String(64))
    sha256: Named[str] = Column(String(64))
    media_type: Named[str] = Column(String(64))
    bytes: Named[int] = Column(BigInteger)
    width: Named[int] = Column(Integer)
    height: Named[int] = Column(Integer)
    restricted: Named[bool] = Column(server_default=false())
    created_at: Named[datetime] = Column(Moment)


images = Table("images", metadata, images_columns, PrimaryKeyConstraint("tenant", "sha256"))
Index("ix_images_sha256", images.c.sha256)
Index("ix_images_created_at", images.c.created_at)


class job_images_columns(TypedColumns):  # noqa: N801
    """The images of a job, in order."""

    job_id: Named[UUID] = Column(Uuid)
    position: Named[int] = Column(Integer)
    sha256: Named[str] = Column(String(64))


job_images = Table("job_images", metadata, job_images_columns, PrimaryKeyConstraint("job_id", "position"))
Index("ix_job_images_sha256", job_images.c.sha256)


class results_columns(TypedColumns):  # noqa: N801
    """What a job answered, under which version of the application's contract."""

    job_id: Named[UUID] = Column(Uuid, primary_key=True)
    token: Named[int] = Column(Integer)
    version: Named[str] = Column(String(32))
    headline: Named[str] = Column(String(400))
    body: Named[dict[str, Any]] = Column(Json)
    pictures: Named[list[dict[str, int]]] = Column(Json)
    created_at: Named[datetime] = Column(Moment)


results = Table("results", metadata, results_columns)


class findings_columns(TypedColumns):  # noqa: N801
    """One row for each thing found, for statistics."""

    job_id: Named[UUID] = Column(Uuid)
    position: Named[int] = Column(Integer)
    tenant: Named[str] = Column(String(64))
    application: Named[str] = Column(String(64))
    kind: Named[str] = Column(String(128))
    score: Named[float] = Column(Float)
    image: Named[int] = Column(Integer)
    x0: Named[float] = Column(Float)
    y0: Named[float] = Column(Float)
    x1: Named[float] = Column(Float)
    y1: Named[float] = Column(Float)
    area_mm2: Named[float | None] = Column(Float)
    length_mm: Named[float | None] = Column(Float)
    text: Named[str | None] = Column(String)
    created_at: Named[datetime] = Column(Moment)


findings = Table("findings", metadata, findings_columns, PrimaryKeyConstraint("job_id", "position"))
Index("ix_findings_statistics", findings.c.tenant, findings.c.application, findings.c.kind, findings.c.created_at)


class model_calls_columns(TypedColumns):  # noqa: N801
    """Where an answer came from: one row for each call of a model."""

    job_id: Named[UUID] = Column(Uuid)
    position: Named[int] = Column(Integer)
    capability: Named[str] = Column(String(16))
    model: Named[str] = Column(String(64))
    revision: Named[str] = Column(String(128))
    device: Named[str] = Column(String(32))
    dtype: Named[str] = Column(String(16))
    preprocessing: Named[str] = Column(String(64))
    prompt: Named[str | None] = Column(String)
    batch_size: Named[int] = Column(Integer)
    waited_ms: Named[float] = Column(Float)
    ran_ms: Named[float] = Column(Float)
    scores: Named[str] = Column(String(16), server_default="none")
    remarks: Named[dict[str, Any]] = Column(Json, server_default="{}")


model_calls = Table("model_calls", metadata, model_calls_columns, PrimaryKeyConstraint("job_id", "position"))


class artifacts_columns(TypedColumns):  # noqa: N801
    """Files made from a job, by name: rendered overlays."""

    job_id: Named[UUID] = Column(Uuid)
    name: Named[str] = Column(String(128))
    sha256: Named[str] = Column(String(64))
    media_type: Named[str] = Column(String(64))
    created_at: Named[datetime] = Column(Moment)


artifacts = Table("artifacts", metadata, artifacts_columns, PrimaryKeyConstraint("job_id", "name"))
Index("ix_artifacts_sha256", artifacts.c.sha256)


class workers_columns(TypedColumns):  # noqa: N801
    """A worker process and its lease, which is the lease of every job it runs."""

    id: Named[UUID] = Column(Uuid, primary_key=True)
    name: Named[str] = Column(String(128))
    host: Named[str] = Column(String(255))
    pid: Named[int] = Column(Integer)
    queues: Named[list[str]] = Column(Json)
    capacity: Named[int] = Column(Integer)
    started_at: Named[datetime] = Column(Moment)
    lease_until: Named[datetime] = Column(Moment)
    ended_at: Named[datetime | None] = Column(Moment)
    end_reason: Named[str | None] = Column(String(200))


workers = Table("workers", metadata, workers_columns)
_partial("ix_workers_live", text("ended_at IS NULL"), workers.c.lease_until)


class model_loads_columns(TypedColumns):  # noqa: N801
    """What one of a worker's models weighs, and how often it was loaded and evicted."""

    worker: Named[UUID] = Column(Uuid)
    model: Named[str] = Column(String(64))
    device: Named[str] = Column(String(32))
    loads: Named[int] = Column(Integer)
    evictions: Named[int] = Column(Integer)
    thrashes: Named[int] = Column(Integer)
    resident_bytes: Named[int] = Column(BigInteger)


model_loads = Table("model_loads", metadata, model_loads_columns, PrimaryKeyConstraint("worker", "model"))


class events_columns(TypedColumns):  # noqa: N801
    """A fact, written in the commit that made it true; `feed_id` is its place in the feed, given afterwards."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    feed_id: Named[int | None] = Column(BigInteger)
    tenant: Named[str] = Column(String(64))
    type: Named[str] = Column(String(32))
    job_id: Named[UUID | None] = Column(Uuid)
    body: Named[dict[str, Any]] = Column(Json)
    restricted: Named[bool] = Column(server_default=false())
    created_at: Named[datetime] = Column(Moment)


events = Table("events", metadata, events_columns)
_partial("ix_events_unfed", text("feed_id IS NULL"), events.c.id)
Index("uq_events_feed_id", events.c.feed_id, unique=True)
Index("ix_events_tenant_feed_id", events.c.tenant, events.c.feed_id)
Index("ix_events_job_id", events.c.job_id)


class counters_columns(TypedColumns):  # noqa: N801
    """How many jobs are in each state, folded from `counter_deltas`."""

    tenant: Named[str] = Column(String(64))
    application: Named[str] = Column(String(64))
    lane: Named[str] = Column(String(16))
    state: Named[str] = Column(String(16))
    jobs: Named[int] = Column(BigInteger)


counters = Table("counters", metadata, counters_columns, PrimaryKeyConstraint("tenant", "application", "lane", "state"))


class counter_deltas_columns(TypedColumns):  # noqa: N801
    """A change of a count, not yet folded: inserted, so that no two transactions lock the same row."""

    id: Named[int] = Column(Serial, Identity(), primary_key=True)
    tenant: Named[str] = Column(String(64))
    application: Named[str] = Column(String(64))
    lane: Named[str] = Column(String(16))
    state: Named[str] = Column(String(16))
    delta: Named[int] = Column(Integer)


counter_deltas = Table("counter_deltas", metadata, counter_deltas_columns)
Index("ix_counter_deltas_tenant", counter_deltas.c.tenant)


class tenants_columns(TypedColumns):  # noqa: N801
    """Who sends jobs."""

    name: Named[str] = Column(String(64), primary_key=True)
    backlog_limit: Named[int | None] = Column(Integer)
    intake_enabled: Named[bool] = Column(server_default=false())
    created_at: Named[datetime] = Column(Moment)


tenants = Table("tenants", metadata, tenants_columns)


class keys_columns(TypedColumns):  # noqa: N801
    """An API key: its hash, never the key."""

    id: Named[UUID] = Column(Uuid, primary_key=True)
    tenant: Named[str] = Column(String(64))
    name: Named[str] = Column(String(128))
    prefix: Named[str] = Column(String(16))
    hash: Named[str] = Column(String(64), unique=True)
    scopes: Named[list[str]] = Column(Json)
    created_at: Named[datetime] = Column(Moment)
    revoked_at: Named[datetime | None] = Column(Moment)


keys = Table("keys", metadata, keys_columns)


class translation_memory_columns(TypedColumns):  # noqa: N801
    """A tenant's own translations, found by the folded text."""

    tenant: Named[str] = Column(String(64))
    source: Named[str] = Column(String(2))
    target: Named[str] = Column(String(2))
    folded: Named[str] = Column(String(400))
    text: Named[str] = Column(String(400))
    translation: Named[str] = Column(String(400))
    created_at: Named[datetime] = Column(Moment)


translation_memory = Table(
    "translation_memory",
    metadata,
    translation_memory_columns,
    PrimaryKeyConstraint("tenant", "source", "target", "folded"),
)
