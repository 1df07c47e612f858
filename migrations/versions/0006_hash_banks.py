"""Hash banks, and every hash that is or was in one.

Tables of their own, which code from before this step neither reads nor writes.

Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
PRESENT, REMOVED = sa.text("removed_in IS NULL"), sa.text("removed_in IS NOT NULL")


def upgrade() -> None:
    """Apply the step."""
    op.create_table(
        "banks",
        sa.Column("id", SERIAL, sa.Identity(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_banks")),
    )
    op.create_index("uq_banks_tenant", "banks", ["tenant", "name"], unique=True)
    op.create_table(
        "bank_entries",
        sa.Column("id", SERIAL, sa.Identity(), nullable=False),
        sa.Column("bank_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("value", sa.String(length=64), nullable=False),
        sa.Column("labels", JSON, nullable=False),
        sa.Column("added_in", sa.Integer(), nullable=False),
        sa.Column("added_at", MOMENT, nullable=False),
        sa.Column("added_by", sa.String(length=200), nullable=False),
        sa.Column("added_because", sa.String(length=1000), nullable=False),
        sa.Column("removed_in", sa.Integer(), nullable=True),
        sa.Column("removed_at", MOMENT, nullable=True),
        sa.Column("removed_by", sa.String(length=200), nullable=True),
        sa.Column("removed_because", sa.String(length=1000), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_entries")),
    )
    op.create_index("ix_bank_entries_value", "bank_entries", ["bank_id", "value"])
    op.create_index(
        "uq_bank_entries_present",
        "bank_entries",
        ["bank_id", "kind", "value"],
        unique=True,
        sqlite_where=PRESENT,
        postgresql_where=PRESENT,
    )
    op.create_index("ix_bank_entries_latest", "bank_entries", ["bank_id", "id"])
    op.create_index("ix_bank_entries_added", "bank_entries", ["bank_id", "added_in"])
    op.create_index(
        "ix_bank_entries_removed",
        "bank_entries",
        ["bank_id", "removed_in"],
        sqlite_where=REMOVED,
        postgresql_where=REMOVED,
    )


def downgrade() -> None:
    """Take the step back."""
    op.drop_table("bank_entries")
    op.drop_table("banks")
