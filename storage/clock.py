"""The database's clock in SQL, and UTC moments that survive both databases.

Leases, deadlines and the order of things are judged by one clock, the database's: the clocks of workers may be wrong.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement, literal


class Moment(TypeDecorator[datetime]):
    """An aware datetime in UTC: `timestamptz` on PostgreSQL, sortable text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes and turn others into UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use an aware datetime")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give SQLite's naive datetimes their zone."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class moment(ColumnElement[datetime]):  # noqa: N801  (reads as a SQL function)
    """The database's time now, or so many seconds from now."""

    inherit_cache = False
    type = Moment()

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = literal(float(seconds))


@compiles(moment, "postgresql")
def _on_postgresql(element: moment, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    # As a subquery it is asked once for a statement, not for each row, and so an index can be searched by it.
    return f"(SELECT clock_timestamp() + make_interval(secs => {compiler.process(element.seconds, **options)}))"


@compiles(moment, "sqlite")
def _on_sqlite(element: moment, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    # The same text that SQLAlchemy writes for a datetime, so that they compare; %f ends at milliseconds.
    seconds = compiler.process(element.seconds, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"
