"""Review items and their decisions, corrected results, configurations with their activations, and the audit log.

Jobs, images and events learn whether they are for few eyes. Code from before this step knows of no such thing and shows
them: stop its gateways before the first restricted hash bank is made.

Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
UNDECIDED = sa.text("decided_at IS NULL")


def upgrade() -> None:
    """Apply the step."""
    op.add_column("jobs", sa.Column("restricted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("images", sa.Column("restricted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("events", sa.Column("restricted", sa.Boolean(), nullable=False, server_default=sa.false()))
    _reviews()
    _configurations()
    _audit()


def _reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("queue", sa.String(length=64), nullable=False),
        sa.Column("reasons", JSON, nullable=False),
        sa.Column("summary", sa.String(length=4000), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("four_eyes", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("restricted", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("barred", JSON, nullable=False),
        sa.Column("claimed_by", sa.Uuid(), nullable=True),
        sa.Column("claimed_name", sa.String(length=128), nullable=True),
        sa.Column("claim", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("claim_until", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("decided_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    waiting = ["tenant", "application", "queue", "id"]
    op.create_index("ix_reviews_waiting", "reviews", waiting, sqlite_where=UNDECIDED, postgresql_where=UNDECIDED)
    op.create_index("ix_reviews_job_id", "reviews", ["job_id"])
    op.create_index("ix_reviews_tenant", "reviews", ["tenant", "id"])
    op.create_table(
        "review_decisions",
        sa.Column("id", SERIAL, sa.Identity(), nullable=False),
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("reviewer", sa.Uuid(), nullable=False),
        sa.Column("reviewer_name", sa.String(length=128), nullable=False),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("comment", sa.String(length=4000), nullable=False),
        sa.Column("correction", JSON, nullable=True),
        sa.Column("from_version", sa.Integer(), nullable=True),
        sa.Column("made_version", sa.Integer(), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_decisions")),
    )
    op.create_index("ix_review_decisions_review_id", "review_decisions", ["review_id"])
    op.create_index("ix_review_decisions_tenant", "review_decisions", ["tenant", "id"])
    op.create_table(
        "result_versions",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("contract", sa.String(length=32), nullable=False),
        sa.Column("headline", sa.String(length=400), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "version", name=op.f("pk_result_versions")),
    )


def _configurations() -> None:
    op.create_table(
        "configurations",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("because", sa.String(length=1000), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "application", "kind", "name", "version", name=op.f("pk_configurations")),
    )
    op.create_table(
        "configuration_activations",
        sa.Column("id", SERIAL, sa.Identity(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("application", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("because", sa.String(length=1000), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_configuration_activations")),
    )
    of_a_name = ["tenant", "application", "kind", "name", "id"]
    op.create_index("ix_configuration_activations_name", "configuration_activations", of_a_name)


def _audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("facts", JSON, nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_tenant", "audit_log", ["tenant", "seq"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.execute("INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '')")


def downgrade() -> None:
    """Take the step back."""
    for table in (
        "audit_head",
        "audit_log",
        "configuration_activations",
        "configurations",
        "result_versions",
        "review_decisions",
        "reviews",
    ):
        op.drop_table(table)
    op.drop_column("events", "restricted")
    op.drop_column("images", "restricted")
    op.drop_column("jobs", "restricted")
