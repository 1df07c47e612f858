"""What the scores of a model call are, and what its reader should know besides.

Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the step."""
    op.add_column("model_calls", sa.Column("scores", sa.String(length=16), server_default="none", nullable=False))
    op.add_column(
        "model_calls",
        sa.Column(
            "remarks",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            server_default="{}",
            nullable=False,
        ),
    )


def downgrade() -> None:
    """Take the step back."""
    op.drop_column("model_calls", "remarks")
    op.drop_column("model_calls", "scores")
