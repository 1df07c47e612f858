"""Revisions of trained models, what was measured of them, which is served, and what candidates answered in the shadow.

Tables of their own, which code from before this step neither reads nor writes.

Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "model_revisions",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.String(length=128), nullable=False),
        sa.Column("family", sa.String(length=128), nullable=False),
        sa.Column("data_hash", sa.String(length=128), nullable=False),
        sa.Column("facts", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "revision", name=op.f("pk_model_revisions")),
    )
    op.create_table(
        "model_evaluations",
        sa.Column("id", SERIAL, sa.Identity(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.String(length=128), nullable=False),
        sa.Column("dataset", sa.String(length=1000), nullable=False),
        sa.Column("data_hash", sa.String(length=128), nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("report", JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_evaluations")),
    )
    op.create_index("ix_model_evaluations_revision", "model_evaluations", ["name", "revision"])
    op.create_table(
        "model_promotions",
        sa.Column("id", SERIAL, sa.Identity(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.String(length=128), nullable=False),
        sa.Column("before", sa.String(length=128), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("because", sa.String(length=1000), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_promotions")),
    )
    op.create_index("ix_model_promotions_name", "model_promotions", ["name", "id"])
    op.create_table(
        "model_shadows",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.String(length=128), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model_shadows")),
    )
    op.create_table(
        "shadow_answers",
        sa.Column("id", SERIAL, sa.Identity(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.String(length=128), nullable=False),
        sa.Column("served", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("capability", sa.String(length=16), nullable=False),
        sa.Column("agreement", sa.Float(), nullable=False),
        sa.Column("answers", JSON, nullable=False),
        sa.Column("batch_size", sa.Integer(), nullable=False),
        sa.Column("served_ms", sa.Float(), nullable=False),
        sa.Column("candidate_ms", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_answers")),
    )
    op.create_index("ix_shadow_answers_revision", "shadow_answers", ["name", "revision", "id"])
    op.create_table(
        "shadow_losses",
        sa.Column("id", SERIAL, sa.Identity(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_losses")),
    )
    op.create_index("ix_shadow_losses_revision", "shadow_losses", ["name", "revision"])


def downgrade() -> None:
    """Take the step back."""
    for table in (
        "shadow_losses",
        "shadow_answers",
        "model_shadows",
        "model_promotions",
        "model_evaluations",
        "model_revisions",
    ):
        op.drop_table(table)
