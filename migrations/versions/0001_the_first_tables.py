"""The first tables.

Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "artifacts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_artifacts")),
    )
    op.create_index("ix_artifacts_sha256", "artifacts", ["sha256"], unique=False)
    op.create_table(
        "counter_deltas",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counter_deltas")),
    )
    op.create_index("ix_counter_deltas_tenant", "counter_deltas", ["tenant"], unique=False)
    op.create_table(
        "counters",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "application", "lane", "state", name=op.f("pk_counters")),
    )
    op.create_table(
        "events",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("feed_id", sa.BigInteger(), nullable=True),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column(
            "body", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_job_id", "events", ["job_id"], unique=False)
    op.create_index("ix_events_tenant_feed_id", "events", ["tenant", "feed_id"], unique=False)
    op.create_index(
        "ix_events_unfed",
        "events",
        ["id"],
        unique=False,
        sqlite_where=sa.text("feed_id IS NULL"),
        postgresql_where=sa.text("feed_id IS NULL"),
    )
    op.create_index("uq_events_feed_id", "events", ["feed_id"], unique=True)
    op.create_table(
        "findings",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=128), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("image", sa.Integer(), nullable=False),
        sa.Column("x0", sa.Float(), nullable=False),
        sa.Column("y0", sa.Float(), nullable=False),
        sa.Column("x1", sa.Float(), nullable=False),
        sa.Column("y1", sa.Float(), nullable=False),
        sa.Column("area_mm2", sa.Float(), nullable=True),
        sa.Column("length_mm", sa.Float(), nullable=True),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_findings")),
    )
    op.create_index("ix_findings_statistics", "findings", ["tenant", "application", "kind", "created_at"], unique=False)
    op.create_table(
        "heads",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "application", "key", name=op.f("pk_heads")),
    )
    op.create_table(
        "images",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sha256", name=op.f("pk_images")),
    )
    op.create_index("ix_images_created_at", "images", ["created_at"], unique=False)
    op.create_index("ix_images_sha256", "images", ["sha256"], unique=False)
    op.create_table(
        "job_images",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_job_images")),
    )
    op.create_index("ix_job_images_sha256", "job_images", ["sha256"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column(
            "params", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column(
            "meta", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("supersede_key", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rung_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Uuid(), nullable=True),
        sa.Column("token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("strikes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("suspect", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("late", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=2000), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(
        "ix_jobs_deadline",
        "jobs",
        ["deadline"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND deadline IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND deadline IS NOT NULL"),
    )
    op.create_index("ix_jobs_latest", "jobs", ["tenant", "id"], unique=False)
    op.create_index("ix_jobs_latest_application", "jobs", ["tenant", "application", "id"], unique=False)
    op.create_index("ix_jobs_latest_state", "jobs", ["tenant", "state", "id"], unique=False)
    op.create_index(
        "ix_jobs_rung",
        "jobs",
        ["application", "lane", "rung_at"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND rung_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND rung_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_running",
        "jobs",
        ["application", "lane"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_jobs_running_worker",
        "jobs",
        ["worker"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_jobs_supersede",
        "jobs",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND supersede_key IS NOT NULL AND token > 0"),
        postgresql_where=sa.text("state = 'queued' AND supersede_key IS NOT NULL AND token > 0"),
    )
    op.create_index(
        "ix_jobs_unrung",
        "jobs",
        ["application", "lane", "tenant", "ready_at"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND rung_at IS NULL"),
        postgresql_where=sa.text("state = 'queued' AND rung_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_unrung_deadline",
        "jobs",
        ["application", "lane", "tenant", "deadline"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND rung_at IS NULL AND deadline IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND rung_at IS NULL AND deadline IS NOT NULL"),
    )
    op.create_index(
        "uq_jobs_idempotency",
        "jobs",
        ["tenant", "idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column(
            "scopes", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_keys_hash")),
    )
    op.create_table(
        "model_calls",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("capability", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.String(length=128), nullable=False),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("dtype", sa.String(length=16), nullable=False),
        sa.Column("preprocessing", sa.String(length=64), nullable=False),
        sa.Column("prompt", sa.String(), nullable=True),
        sa.Column("batch_size", sa.Integer(), nullable=False),
        sa.Column("waited_ms", sa.Float(), nullable=False),
        sa.Column("ran_ms", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_model_calls")),
    )
    op.create_table(
        "results",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("headline", sa.String(length=400), nullable=False),
        sa.Column(
            "body", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column(
            "pictures", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_results")),
    )
    op.create_table(
        "tenants",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("backlog_limit", sa.Integer(), nullable=True),
        sa.Column("intake_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tenants")),
    )
    op.create_table(
        "translation_memory",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=2), nullable=False),
        sa.Column("target", sa.String(length=2), nullable=False),
        sa.Column("folded", sa.String(length=400), nullable=False),
        sa.Column("text", sa.String(length=400), nullable=False),
        sa.Column("translation", sa.String(length=400), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "source", "target", "folded", name=op.f("pk_translation_memory")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column(
            "queues", sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"), nullable=False
        ),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_index(
        "ix_workers_live",
        "workers",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    """Take the step back."""
    op.drop_index(
        "ix_workers_live",
        table_name="workers",
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.drop_table("workers")
    op.drop_table("translation_memory")
    op.drop_table("tenants")
    op.drop_table("results")
    op.drop_table("model_calls")
    op.drop_table("keys")
    op.drop_index(
        "uq_jobs_idempotency",
        table_name="jobs",
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.drop_index(
        "ix_jobs_unrung_deadline",
        table_name="jobs",
        sqlite_where=sa.text("state = 'queued' AND rung_at IS NULL AND deadline IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND rung_at IS NULL AND deadline IS NOT NULL"),
    )
    op.drop_index(
        "ix_jobs_unrung",
        table_name="jobs",
        sqlite_where=sa.text("state = 'queued' AND rung_at IS NULL"),
        postgresql_where=sa.text("state = 'queued' AND rung_at IS NULL"),
    )
    op.drop_index(
        "ix_jobs_supersede",
        table_name="jobs",
        sqlite_where=sa.text("state = 'queued' AND supersede_key IS NOT NULL AND token > 0"),
        postgresql_where=sa.text("state = 'queued' AND supersede_key IS NOT NULL AND token > 0"),
    )
    op.drop_index(
        "ix_jobs_running_worker",
        table_name="jobs",
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.drop_index(
        "ix_jobs_running",
        table_name="jobs",
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.drop_index(
        "ix_jobs_rung",
        table_name="jobs",
        sqlite_where=sa.text("state = 'queued' AND rung_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND rung_at IS NOT NULL"),
    )
    op.drop_index("ix_jobs_latest_state", table_name="jobs")
    op.drop_index("ix_jobs_latest_application", table_name="jobs")
    op.drop_index("ix_jobs_latest", table_name="jobs")
    op.drop_index(
        "ix_jobs_deadline",
        table_name="jobs",
        sqlite_where=sa.text("state = 'queued' AND deadline IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND deadline IS NOT NULL"),
    )
    op.drop_table("jobs")
    op.drop_index("ix_job_images_sha256", table_name="job_images")
    op.drop_table("job_images")
    op.drop_index("ix_images_sha256", table_name="images")
    op.drop_index("ix_images_created_at", table_name="images")
    op.drop_table("images")
    op.drop_table("heads")
    op.drop_index("ix_findings_statistics", table_name="findings")
    op.drop_table("findings")
    op.drop_index("uq_events_feed_id", table_name="events")
    op.drop_index(
        "ix_events_unfed",
        table_name="events",
        sqlite_where=sa.text("feed_id IS NULL"),
        postgresql_where=sa.text("feed_id IS NULL"),
    )
    op.drop_index("ix_events_tenant_feed_id", table_name="events")
    op.drop_index("ix_events_job_id", table_name="events")
    op.drop_table("events")
    op.drop_table("counters")
    op.drop_index("ix_counter_deltas_tenant", table_name="counter_deltas")
    op.drop_table("counter_deltas")
    op.drop_index("ix_artifacts_sha256", table_name="artifacts")
    op.drop_table("artifacts")
