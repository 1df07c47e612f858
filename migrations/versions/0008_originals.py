"""De-identified copies of patient data, and the sealed originals that a site keeps.

Tables of their own, which code from before this step neither reads nor writes.

Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "copies",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("facts", JSON, nullable=True),
        sa.Column("record", JSON, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_copies")),
    )
    op.create_table(
        "originals",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("file", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "file", name=op.f("pk_originals")),
    )
    op.create_index("ix_originals_sha256", "originals", ["sha256"])


def downgrade() -> None:
    """Take the step back."""
    op.drop_table("originals")
    op.drop_table("copies")
