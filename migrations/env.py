"""What Alembic runs. The engine comes from `migrations.configuration`."""

from typing import Literal

from alembic import context
from sqlalchemy import Engine, text

from storage.clock import Moment
from storage.postgresql import patiently
from storage.tables import metadata

MIGRATION_LOCK = 0x51_6874_6D69_6772


def plain(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write our own column types as the database's: a migration must not change when the code does."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Moment) else False


def run() -> None:
    """Run the migrations in one transaction, under a lock."""
    engine: Engine = context.config.attributes["engine"]
    with engine.begin() as connection, patiently(connection):  # an index over many jobs takes its time
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=connection.dialect.name == "sqlite",
            compare_type=False,
            render_item=plain,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
