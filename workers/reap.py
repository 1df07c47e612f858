"""Housekeeping beside the dispatcher: lapsed leases, deadlines, the feed's numbers, the counters."""

import logging

from storage.counters import fold
from storage.feed import hold_housekeeping, number
from storage.leases import Ending, end, lapsed
from storage.reaping import end_superseded, expire
from storage.session import Connection, Engine, read, write

log = logging.getLogger(__name__)


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
    return write(engine, expire) + write(engine, end_superseded)


def keep_house(engine: Engine) -> int:
    """Number new events and fold new deltas, if no other process is at it; return how many rows were dealt with."""
    return write(engine, _keep_house)


def _keep_house(connection: Connection) -> int:
    return number(connection) + fold(connection) if hold_housekeeping(connection) else 0
