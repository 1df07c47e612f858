"""Whether the spine's queries stay flat: the same queries against few ended jobs and against many.

    python -m tests.measurements.flat_queries --rows 1000 1000000 --database-url 'sqlite:///flat_{rows}.db'

`{rows}` stands for each size; an empty database is filled first, a filled one is measured as it is. What is alive (700
jobs, one worker) is the same at each size, so that a ratio of one says that ended jobs cost nothing; `--waiting` makes
the backlog larger. The sizes take turns, call by call, so that whatever else the machine does falls on all of them.
Every query runs in a transaction of its own, which is rolled back; what is timed is the call.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import Connection, Engine, select

from domain.jobs import JobState
from migrations import upgrade
from storage.claims import claim, hearable
from storage.clock_steps import latest_known, now, set_back
from storage.counters import backlog, counts
from storage.dispatching import (
    Queue,
    Waiting,
    forget_lost_doorbells,
    live_queues,
    mark_rung,
    outstanding,
    spare_workers,
    still_heard,
    waiting,
)
from storage.jobs import latest, superseded_or_cancelled
from storage.leases import disown, lapsed
from storage.reaping import end_superseded, expire
from storage.session import connect
from storage.tables import jobs
from tests.measurements.big_table import RUNG, RUNNING, TENANTS, UNRUNG, Alive, fill_alive, fill_ended, find_alive

STANDARD = Queue("inspection", "standard")
TENANT = TENANTS[0]


@dataclass(frozen=True)
class Query:
    """A query by name, and the indexes of `jobs` of which each statement on it must use one."""

    name: str
    run: Callable[[Connection, Alive], object]
    indexes: tuple[str, ...] = ()


WARM_UP = 5
PRIMARY = ("pk_jobs", "sqlite_autoindex_jobs_1")
QUERIES = (
    Query("claim 8", lambda c, alive: claim(c, alive.worker, alive.waiting[:8]), PRIMARY),
    Query("hear 32", lambda c, alive: hearable(c, alive.waiting[:32]), PRIMARY),
    Query(
        "checkpoint 8", lambda c, alive: superseded_or_cancelled(c, alive.running[:8]), (*PRIMARY, "ix_jobs_running")
    ),
    Query("still heard 32", lambda c, alive: still_heard(c, alive.waiting[:32]), PRIMARY),
    Query("dispatch: live queues", lambda c, _: live_queues(c)),
    Query("dispatch: spare workers", lambda c, _: spare_workers(c), ("ix_jobs_running_worker",)),
    Query("dispatch: outstanding", lambda c, _: outstanding(c, STANDARD), ("ix_jobs_rung", "ix_jobs_running")),
    Query("dispatch: waiting 64", lambda c, _: waiting(c, STANDARD, 64), ("ix_jobs_unrung", "ix_jobs_unrung_deadline")),
    Query(
        "dispatch: mark rung 32",
        lambda c, alive: mark_rung(c, [Waiting(i, TENANT) for i in alive.waiting[:32]]),
        PRIMARY,
    ),
    Query(
        "dispatch: lost doorbells", lambda c, _: forget_lost_doorbells(c, STANDARD, 30.0), (*PRIMARY, "ix_jobs_rung")
    ),
    Query("latest 50", lambda c, _: latest(c, TENANT), ("ix_jobs_latest",)),
    Query("latest 50 succeeded", lambda c, _: latest(c, TENANT, state=JobState.SUCCEEDED), ("ix_jobs_latest_state",)),
    Query("latest 50 queued", lambda c, _: latest(c, TENANT, state=JobState.QUEUED), ("ix_jobs_latest_state",)),
    Query("latest 50 of signs", lambda c, _: latest(c, TENANT, application="signs"), ("ix_jobs_latest_application",)),
    Query("reap: lapsed", lambda c, _: lapsed(c)),
    Query("reap: disown", lambda c, alive: disown(c, alive.worker, alive.running, 0.0), ("ix_jobs_running_worker",)),
    Query("reap: expire", lambda c, _: expire(c), (*PRIMARY, "ix_jobs_deadline")),
    Query("reap: superseded", lambda c, _: end_superseded(c), (*PRIMARY, "ix_jobs_supersede")),
    Query("clock: latest known", lambda c, _: latest_known(c), ("ix_jobs_unrung", "ix_jobs_rung")),
    Query("clock: set back", lambda c, _: set_back(c, now(c), 60.0), (*PRIMARY, "ix_jobs_unrung", "ix_jobs_rung")),
    Query("counts", lambda c, _: counts(c)),
    Query("backlog", lambda c, _: backlog(c, TENANT)),
)


def measure(databases: Sequence[tuple[Engine, Alive]], times: int) -> list[dict[str, float]]:
    """Return, for each database, each query's median in milliseconds."""
    found: list[dict[str, float]] = [{} for _ in databases]
    for query in QUERIES:
        took: list[list[float]] = [[] for _ in databases]
        for _ in range(times + WARM_UP):
            for at, (engine, alive) in enumerate(databases):
                took[at].append(_timed(engine, query, alive))
        for at, each in enumerate(took):
            found[at][query.name] = round(median(each[WARM_UP:]) * 1000, 3)
    return found


def _timed(engine: Engine, query: Query, alive: Alive) -> float:
    with engine.connect() as connection:
        connection.execute(select(jobs.c.id).limit(1))  # the transaction begins before the clock does
        begun = time.perf_counter()
        query.run(connection, alive)
        took = time.perf_counter() - begun
        connection.rollback()
    return took


def filled(url: str, rows: int, unrung: int) -> tuple[Engine, Alive]:
    """Return a database of that many jobs, filled if it was empty."""
    engine = connect(url)
    upgrade(engine)
    alive = find_alive(engine)
    if alive is None:
        alive = fill_alive(engine, unrung)
        fill_ended(engine, rows - unrung - RUNG - RUNNING)
    return engine, alive


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the figures as a Markdown table, with the ratio of the largest to the smallest."""
    sizes = [f"{one['rows']:,} (ms)" for one in found]
    lines = [f"| query | {' | '.join(sizes)} | ratio |", "|---|" + "---:|" * (len(found) + 1)]
    for query in QUERIES:
        took = [one["median_ms"][query.name] for one in found]
        ratio = took[-1] / took[0]
        lines.append(f"| {query.name} | {' | '.join(f'{ms:.2f}' for ms in took)} | {ratio:.1f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description="time the spine's queries at several sizes of the jobs table")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 20_000])
    parser.add_argument("--database-url", required=True, help="with {rows} in the place of each size")
    parser.add_argument("--times", type=int, default=50, help="how often each query is run")
    parser.add_argument("--waiting", type=int, default=UNRUNG, help="how many of the rows wait for a doorbell")
    told = parser.parse_args(arguments)
    databases = [filled(told.database_url.format(rows=rows), rows, told.waiting) for rows in told.rows]
    measured = zip(told.rows, measure(databases, told.times), strict=True)
    found = [{"rows": rows, "median_ms": medians} for rows, medians in measured]
    print(table(found))
    print(json.dumps({"database": databases[0][0].dialect.name, "waiting": told.waiting, "sizes": found}))
    for engine, _ in databases:
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1:])
