"""Workers that stand still at the worst moments, and decodes that hang."""

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from sqlalchemy import select

from storage.session import read
from storage.tables import jobs
from tests.support.drill import GATED, QUICK
from tests.support.gates import Gates
from tests.support.invariant import invariant
from tests.support.keeping import keep_a_worker_until_the_end
from tests.support.locks import held, somebody_waits, written_by_nobody_else
from tests.support.pairings import EMBEDDED, REDIS, on
from tests.support.slow_picture import slow_picture, submit_slow_picture
from tests.support.system import System
from tests.support.waiting import eventually
from workers.watchdog import EXIT_HUNG

pytestmark = [pytest.mark.service, pytest.mark.fault]

LEASE_S = 3.0
WITHIN_S = LEASE_S + 10.0
Recovery = Callable[[float], None]


def taken_over_and_fenced(one: System, stalled: subprocess.Popen[bytes], recovery: Recovery) -> None:
    """Let another machine take over what a stopped worker holds; wake it after twice the lease."""
    stopped = time.monotonic()
    one.start("worker", machine="elsewhere")
    one.wait_for_the_end(WITHIN_S)
    recovery(time.monotonic() - stopped)
    time.sleep(max(2 * LEASE_S - (time.monotonic() - stopped), 0))
    stalled.send_signal(signal.SIGCONT)
    eventually(lambda: "lease.lapsed" in one.logs(), WITHIN_S, "the stalled worker sees that it was fenced")
    assert stalled.poll() is None, "and it goes on"
    tokens = read(one.engine, lambda connection: list(connection.execute(select(jobs.c.token)).scalars()))
    assert set(tokens) == {2}, "each ran twice, and the second run counts"


@on(REDIS)
@pytest.mark.parametrize(
    ("lock", "stands_at"),
    [("SELECT 1 FROM jobs FOR UPDATE", "UPDATE jobs%"), ("SELECT 1 FROM workers FOR UPDATE", "UPDATE workers%")],
    ids=["in-the-commit", "in-the-renewal"],
)
def test_stopped_in_a_transaction_it_is_fenced_and_holds_up_nobody(
    one: System, gates: Gates, lock: str, stands_at: str, recovery: Recovery
) -> None:
    # given a worker that stands in the middle of its commit, or its renewal, and gets no further when it could
    gates.hold("run")
    one.start("dispatch")
    worker = one.start("worker")
    submitted = one.submit(GATED, 3)
    gates.reached("run")
    eventually(lambda: one.states() == {"running": 3}, 10, "it holds all of them")
    with held(one, lock):
        if "jobs" in lock:
            gates.open("run")
        somebody_waits(one, stands_at)
        worker.send_signal(signal.SIGSTOP)
    if "workers" in lock:
        gates.open("run")

    taken_over_and_fenced(one, worker, recovery)
    invariant(one, submitted)


@on(EMBEDDED)
def test_stopped_between_the_model_call_and_the_commit_it_is_fenced(
    one: System, gates: Gates, recovery: Recovery
) -> None:
    gates.hold("run")
    one.start("dispatch")
    worker = one.start("worker")
    submitted = one.submit(GATED, 3)
    gates.reached("run")
    eventually(lambda: one.states() == {"running": 3}, 10, "it holds all of them")
    with ExitStack() as waiting:
        waiting.enter_context(written_by_nobody_else(one))
        gates.open("run")
        time.sleep(0.5)  # its answers are there, and the commit waits for the file
        worker.send_signal(signal.SIGSTOP)

    taken_over_and_fenced(one, worker, recovery)
    invariant(one, submitted)


@on(EMBEDDED)
def test_a_decode_that_hangs_ends_the_process_and_its_own_job_alone(one: System, recovery: Recovery) -> None:
    slow_picture()
    one.start("dispatch")
    good = one.submit(QUICK, 3)
    bad = submit_slow_picture(one)
    begun = time.monotonic()

    # The lease is long, so that it is the successor that gives the job back, with the reason that it found.
    told = {"SIGHTLINE_DECODE_LIMIT_S": "0.8", "SIGHTLINE_LEASE_SECONDS": "20"}
    codes = keep_a_worker_until_the_end(one, 30, **told)
    recovery(time.monotonic() - begun)

    assert codes == [EXIT_HUNG] * 4
    assert one.states() == {"dead": 1, "succeeded": 3}
    dead = select(jobs.c.id, jobs.c.strikes, jobs.c.error_message).where(jobs.c.state == "dead")
    row = read(one.engine, lambda connection: connection.execute(dead).one())
    assert (row.id, row.strikes) == (bad, 3)
    assert "passed its limit of 0.8 s" in row.error_message
    invariant(one, [bad, *good])
