"""Reports: versions, what people did to them, signatures; and triggers by which nothing signed ever changes.

Tables of their own, which code from before this step neither reads nor writes. A later step that makes one of them
anew, as SQLite's batch mode does, loses its triggers and must make them again.

Revises: 0006
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

REFUSAL = "nothing signed ever changes"
IDENTITY = "id, tenant, job_id, subject, study_uid, accession_salt, accession_hash, created_at"
"""Columns of a report that say whose it is."""


def upgrade() -> None:
    """Apply the step."""
    _tables()
    if op.get_bind().dialect.name == "postgresql":
        _functions()
        for table, when, condition in _guards("report_signed({row}.{id}, {number})"):
            op.execute(
                f"CREATE TRIGGER {_name(table, when)} BEFORE {when} ON {table}"
                f" FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse_signed_change()"
            )
        for table in ("reports", "report_versions", "report_acts", "report_signatures"):
            op.execute(
                f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_signed_change()"
            )
        return
    exists = "EXISTS (SELECT 1 FROM report_signatures s WHERE s.report_id = {row}.{id} AND s.number = {number})"
    for table, when, condition in _guards(exists):
        op.execute(
            f"CREATE TRIGGER {_name(table, when)} BEFORE {when} ON {table}"
            f" WHEN {condition} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )


def downgrade() -> None:
    """Take the step back."""
    for table in ("report_signatures", "report_acts", "report_versions", "reports"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_signed_change()")
        op.execute("DROP FUNCTION report_signed(uuid, integer)")


def _guards(signed: str) -> Iterator[tuple[str, str, str]]:
    """Yield each table, what is refused, and when.

    An insert is looked at too, and the new row of an update: SQLite's `INSERT OR REPLACE` and `UPDATE OR REPLACE` take
    away the row that is in their way without asking the triggers of a deletion.
    """
    for table in ("report_versions", "report_acts", "report_signatures"):
        old = signed.format(row="OLD", id="report_id", number="OLD.number")
        new = signed.format(row="NEW", id="report_id", number="NEW.number")
        yield table, "INSERT", new
        yield table, "UPDATE", f"{old} OR {new}"
        yield table, "DELETE", old
    # A version is signed in order, so a report is signed where its first version is.
    first = {row: signed.format(row=row, id="id", number="1") for row in ("OLD", "NEW")}
    yield "reports", "INSERT", first["NEW"]
    yield "reports", f"UPDATE OF {IDENTITY}", f"{first['OLD']} OR {first['NEW']}"
    yield "reports", "DELETE", first["OLD"]


def _name(table: str, when: str) -> str:
    return f"{table}_{when.split()[0].lower()}"


def _functions() -> None:
    op.execute(
        "CREATE FUNCTION report_signed(uuid, integer) RETURNS boolean LANGUAGE sql AS"
        " 'SELECT EXISTS (SELECT 1 FROM report_signatures WHERE report_id = $1 AND number = $2)'"
    )
    op.execute(
        "CREATE FUNCTION refuse_signed_change() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )


def _tables() -> None:
    op.create_table(
        "reports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("study_uid", sa.String(length=64), nullable=True),
        sa.Column("accession_salt", sa.String(length=32), nullable=True),
        sa.Column("accession_hash", sa.String(length=64), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
    )
    op.create_index("ix_reports_tenant", "reports", ["tenant", "state", "id"])
    op.create_index("ix_reports_job_id", "reports", ["job_id"])
    op.create_table(
        "report_versions",
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("edit", sa.Integer(), nullable=False),
        sa.Column("amends", sa.Integer(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("blocking", JSON, nullable=False),
        sa.Column("by", sa.String(length=128), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("report_id", "number", "edit", name=op.f("pk_report_versions")),
    )
    op.create_table(
        "report_acts",
        sa.Column("id", SERIAL, sa.Identity(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("edit", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("discrepancy", sa.String(length=500), nullable=True),
        sa.Column("words", sa.String(length=500), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_acts")),
    )
    op.create_index("ix_report_acts_report_id", "report_acts", ["report_id"])
    op.create_table(
        "report_signatures",
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.String(length=500), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("signed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("report_id", "number", name=op.f("pk_report_signatures")),
    )
