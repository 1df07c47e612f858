"""Whether the spine's queries stay flat: the same queries against few ended jobs and against many.

    python -m tests.measurements.flat_queries --rows 1000 1000000 --database-url sqlite:///flat.db

The database must be empty. What is alive (700 jobs, one worker) is the same at each size, so that a ratio of one says
that ended jobs cost nothing; `--waiting` makes the backlog larger. Every query runs in a transaction of its own, which
is rolled back; what is timed is the call.
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
from storage.counters import backlog, counts
from storage.dispatching import Queue, forget_lost_doorbells, live_queues, mark_rung, outstanding, waiting
from storage.jobs import latest, superseded_or_cancelled
from storage.leases import disown, lapsed
from storage.reaping import end_superseded, expire
from storage.session import connect
from storage.tables import jobs
from tests.measurements.big_table import RUNG, RUNNING, TENANTS, UNRUNG, Alive, fill_alive, fill_ended

STANDARD = Queue("inspection", "standard")
TENANT = TENANTS[0]


@dataclass(frozen=True)
class Query:
    """A query by name, and the indexes of `jobs` of which each statement on it must use one."""

    name: str
    run: Callable[[Connection, Alive], object]
    indexes: tuple[str, ...] = ()


PRIMARY = ("pk_jobs", "sqlite_autoindex_jobs_1")
QUERIES = (
    Query("claim 8", lambda c, alive: claim(c, alive.worker, alive.waiting[:8]), PRIMARY),
    Query("hear 32", lambda c, alive: hearable(c, alive.waiting[:32]), PRIMARY),
    Query(
        "checkpoint 8", lambda c, alive: superseded_or_cancelled(c, alive.running[:8]), (*PRIMARY, "ix_jobs_running")
    ),
    Query("dispatch: live queues", lambda c, _: live_queues(c)),
    Query("dispatch: outstanding", lambda c, _: outstanding(c, STANDARD), ("ix_jobs_rung", "ix_jobs_running")),
    Query("dispatch: waiting 64", lambda c, _: waiting(c, STANDARD, 64), ("ix_jobs_unrung", "ix_jobs_unrung_deadline")),
    Query("dispatch: mark rung 32", lambda c, alive: mark_rung(c, alive.waiting[:32]), PRIMARY),
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
    Query("counts", lambda c, _: counts(c)),
    Query("backlog", lambda c, _: backlog(c, TENANT)),
)


def measure(engine: Engine, alive: Alive, times: int) -> dict[str, float]:
    """Return each query's median in milliseconds."""
    return {query.name: _median_ms(engine, query, alive, times) for query in QUERIES}


def _median_ms(engine: Engine, query: Query, alive: Alive, times: int) -> float:
    took = []
    for _ in range(times + times // 10 + 1):
        with engine.connect() as connection:
            connection.execute(select(jobs.c.id).limit(1))  # the transaction begins before the clock does
            begun = time.perf_counter()
            query.run(connection, alive)
            took.append(time.perf_counter() - begun)
            connection.rollback()
    return round(median(took[-times:]) * 1000, 3)


def grow_and_measure(engine: Engine, sizes: Sequence[int], times: int, unrung: int) -> list[dict[str, Any]]:
    """Fill an empty database to each size in turn; return the figures at each."""
    upgrade(engine)
    alive, found, rows = fill_alive(engine, unrung), [], unrung + RUNG + RUNNING
    for size in sorted(sizes):
        begun = time.perf_counter()
        fill_ended(engine, size - rows, already=rows)
        rows = size
        filled_s = round(time.perf_counter() - begun, 1)
        found.append({"rows": size, "filled_s": filled_s, "median_ms": measure(engine, alive, times)})
    return found


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
    parser.add_argument("--database-url", required=True, help="an empty database")
    parser.add_argument("--times", type=int, default=50, help="how often each query is run")
    parser.add_argument("--waiting", type=int, default=UNRUNG, help="how many of the rows wait for a doorbell")
    told = parser.parse_args(arguments)
    engine = connect(told.database_url)
    found = grow_and_measure(engine, told.rows, told.times, told.waiting)
    print(table(found))
    print(json.dumps({"database": engine.dialect.name, "waiting": told.waiting, "sizes": found}))
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1:])
