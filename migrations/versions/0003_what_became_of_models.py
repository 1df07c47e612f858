"""What each worker's models weigh, and how often they were loaded and evicted.

Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "model_loads",
        sa.Column("worker", sa.Uuid(), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("loads", sa.Integer(), nullable=False),
        sa.Column("evictions", sa.Integer(), nullable=False),
        sa.Column("thrashes", sa.Integer(), nullable=False),
        sa.Column("resident_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("worker", "model", name=op.f("pk_model_loads")),
    )


def downgrade() -> None:
    """Take the step back."""
    op.drop_table("model_loads")
