"""Housekeeping beside the dispatcher: lapsed leases, deadlines, the feed's numbers, the counters."""

import logging
import time
from collections.abc import Callable

from storage import reaping
from storage.counters import fold
from storage.feed import hold_housekeeping, number
from storage.leases import Ending, end, lapsed
from storage.reaping import end_superseded, expire
from storage.session import Connection, Engine, read, write

log = logging.getLogger(__name__)

TURN_S = 1.0
"""How long jobs that cannot run are ended at a stretch."""


def reap(engine: Engine) -> int:
    """Give back the jobs of workers whose lease has lapsed; return how many."""
    given_back = 0
    for worker in read(engine, lapsed):
        jobs = write(engine, end, worker, Ending("its lease lapsed"), only_lapsed=True)
        log.warning("a worker's lease lapsed", extra={"event": "worker.lapsed", "worker": worker, "jobs": jobs})
        given_back += jobs
    return given_back


def end_what_cannot_run(engine: Engine) -> int:
    """End queued jobs past their deadline, or superseded; return how many."""
    return _all_of(engine, expire) + _all_of(engine, end_superseded)


def _all_of(engine: Engine, end_some: Callable[[Connection], int]) -> int:
    """End so many at a time until there are no more, or the turn is over: leases have to lapse as well."""
    until, total = time.monotonic() + TURN_S, 0
    while True:
        ended = write(engine, end_some)
        total += ended
        if ended < reaping.AT_ONCE or time.monotonic() >= until:
            return total


def keep_house(engine: Engine) -> int:
    """Number new events and fold new deltas, if no other process is at it; return how many rows were dealt with."""
    return write(engine, _keep_house)


def _keep_house(connection: Connection) -> int:
    return number(connection) + fold(connection) if hold_housekeeping(connection) else 0
