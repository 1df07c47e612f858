"""Which indexes the databases use: no statement of the spine walks the jobs table from end to end.

The statements are those that the functions really send, caught on their way. `tests/measurements/flat_queries.py`
times the same ones.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event

from storage.dispatching import Queue, waiting
from storage.gauges import queues
from storage.session import connect
from storage.tables import jobs
from tests.conftest import POSTGRESQL
from tests.measurements.big_table import Alive, fill_alive, fill_ended
from tests.measurements.flat_queries import QUERIES, Query

Sent = list[tuple[str, Any]]
INDEXES = {str(index.name) for index in jobs.indexes} | {"pk_jobs"}
ALIVE_ONLY = {
    str(index.name) for index in jobs.indexes if "state = " in str(index.dialect_options["postgresql"]["where"])
}
"""The partial indexes in which no ended job is: walking them costs what is alive, not what there is."""


def sent_by(query: Query, engine: Engine, alive: Alive) -> Sent:
    """Return the statements, with parameters, that a query sends."""
    sent: Sent = []

    def catch(_c: Connection, _cursor: object, statement: str, told: Any, _context: object, many: bool) -> None:
        if not many and "jobs" in statement:
            sent.append((statement, told))

    with engine.connect() as connection:
        event.listen(engine, "before_cursor_execute", catch)
        try:
            query.run(connection, alive)
        finally:
            event.remove(engine, "before_cursor_execute", catch)
            connection.rollback()
    return sent


def plan(engine: Engine, explain: str, statement: str, told: Any) -> list[str]:
    """Return the lines of a statement's plan."""
    with engine.connect() as connection:
        lines = connection.exec_driver_sql(f"{explain} {statement}", told).all()
        connection.rollback()
    return [str(line[-1]).strip() for line in lines]


@pytest.fixture(scope="module")
def sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Alive]]:
    """A SQLite database with some thousand jobs; its planner never counts rows, so that more would change nothing."""
    path = tmp_path_factory.mktemp("plans") / "sightline.db"
    path.write_bytes(sqlite_template.read_bytes())
    engine = connect(f"sqlite:///{path}")
    alive = fill_alive(engine)
    fill_ended(engine, 2_000)
    yield engine, alive
    engine.dispose()


@pytest.fixture(scope="module")
def postgresql(postgresql_template: str) -> Iterator[tuple[Engine, Alive]]:
    """A PostgreSQL database with 20,000 jobs, most of them ended, and statistics of them."""
    name = f"sightline_plans_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    engine = connect(POSTGRESQL.rsplit("/", 1)[0] + f"/{name}")
    alive = fill_alive(engine)
    fill_ended(engine, 20_000)
    yield engine, alive
    engine.dispose()
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_on_sqlite_each_statement_searches_by_an_intended_index(query: Query, sqlite: tuple[Engine, Alive]) -> None:
    # given a migrated database and the statements that a function sends
    engine, alive = sqlite
    for statement, told in sent_by(query, engine, alive):
        # when SQLite is asked how it would answer
        lines = plan(engine, "EXPLAIN QUERY PLAN", statement, told)
        on_jobs = [line for line in lines if line.split()[:2] in (["SCAN", "jobs"], ["SEARCH", "jobs"])]
        # then it searches the jobs by one of the indexes that are there for it, or walks one of the few alive
        for line in on_jobs:
            index = line.partition(" INDEX ")[2].split(" ")[0]
            assert index in query.indexes, (line, statement)
            assert line.startswith("SEARCH jobs USING") or index in ALIVE_ONLY, (line, statement)
        # and builds no index of its own
        assert not any("AUTOMATIC" in line for line in lines), (lines, statement)


@pytest.mark.service
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_on_postgresql_no_statement_scans_the_jobs(query: Query, postgresql: tuple[Engine, Alive]) -> None:
    # given twenty thousand jobs, with sequential scans as the planner's free choice
    engine, alive = postgresql
    for statement, told in sent_by(query, engine, alive):
        # when PostgreSQL is asked how it would answer
        lines = plan(engine, "EXPLAIN", statement, told)
        # then it does not walk the table, and goes by an index that is there for it, by the key, or by the few alive
        assert not any("Seq Scan on jobs" in line for line in lines), (lines, statement)
        used = {name for name in INDEXES for line in lines if f" {name} " in f"{line} "}
        assert used <= {*query.indexes, *ALIVE_ONLY, "pk_jobs"}, (lines, statement)
        assert used or not query.indexes, (lines, statement)


def rows_read(plan: dict[str, Any]) -> int:
    """The most rows that a step of an executed plan let through or threw away."""
    here = int(plan["Actual Rows"]) + int(plan.get("Rows Removed by Filter", 0))
    return max([here, *(rows_read(step) for step in plan.get("Plans", []))])


@pytest.mark.service
@pytest.mark.parametrize(
    "ask", [lambda c: waiting(c, Queue("inspection", "standard"), 16), queues], ids=["waiting", "queues"]
)
def test_on_postgresql_a_backlog_is_not_read_from_end_to_end_before_there_are_statistics_of_it(
    ask: Callable[[Connection], object], postgresql_engine: Engine
) -> None:
    # given a backlog that came so fast that nobody has analyzed the table since it was empty
    with postgresql_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs SET (autovacuum_enabled = off)")
    alive = fill_alive(postgresql_engine, unrung=9_000)
    query = Query("backlog", lambda connection, _: ask(connection))
    # when the dispatcher and the gauges ask what waits
    for statement, told in sent_by(query, postgresql_engine, alive):
        [lines] = plan(postgresql_engine, "EXPLAIN (ANALYZE, FORMAT JSON)", statement, told)
        # then they read the first of each tenant, not all
        assert rows_read(ast.literal_eval(lines)[0]["Plan"]) <= 120, statement


def test_every_index_serves_a_query() -> None:
    # given the indexes of the jobs
    # when they are compared with what the queries are meant to use
    meant = {name for query in QUERIES for name in query.indexes} | {"pk_jobs"}
    # then none is there for nothing (the unique one keeps idempotency keys apart)
    assert INDEXES - meant == {"uq_jobs_idempotency"}
