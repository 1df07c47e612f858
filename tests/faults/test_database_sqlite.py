"""SQLite's one write lock, held by a process that stands still. Leases are 3 s, answers 3 s.

Nothing in SQLite ends another process's lock: it lasts until that process goes on or ends. The kernel takes it away
with the process, so killing it is the cure, and what it had not committed is gone.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.brokers import stand_in
from tests.support.drill import QUICK, SLOW
from tests.support.far_database import ANSWER_S, GRACE_S, LEASE_S
from tests.support.invariant import invariant
from tests.support.system import System, system
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

LOCKED_S = 30.0
HOLD = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
database.execute("BEGIN IMMEDIATE")
database.execute("UPDATE jobs SET state = 'succeeded'")
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def one(sqlite_url: str, tmp_path) -> Iterator[System]:
    """A one-machine installation; nothing started but its broker."""
    with stand_in(tmp_path) as broker, system(sqlite_url, broker.url, tmp_path, database_answer_s=ANSWER_S) as made:
        made.extra["SIGHTLINE_DATABASE_ANSWER_S"] = str(ANSWER_S)
        yield made


def stopped_in_mid_write(one: System) -> subprocess.Popen[str]:
    """A process that has begun to write and stands still."""
    path = one.settings.database_url.removeprefix("sqlite:///")
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.guard("database: a stranger's lock on SQLite has a limit")
def test_a_file_locked_for_long_is_told_and_waited_for(one: System, recovery: Callable[[float], None]) -> None:
    one.start("dispatch")
    worker = one.start("worker")
    with one.gateway() as client:
        submitted = one.submit(SLOW, 10)
        [image] = client.get(f"/v1/jobs/{submitted[0]}").json()["images"]
        eventually(lambda: one.states().get("running", 0) > 0, 10, "jobs run")
        # given a process that holds the lock and stands still
        locking = stopped_in_mid_write(one)
        locked = time.monotonic()
        # when more is submitted than the gateway has threads, then each is told to come again, in time
        body = {"application": "inspection", "images": [image]}
        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda _: client.post("/v1/jobs", json=body), range(20)))
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "storage_unavailable")}
        assert {answer.headers["retry-after"] for answer in answers} == {"5"}
        assert time.monotonic() - locked < 2 * ANSWER_S + 2
        # and whoever reads is served: the lock is one on writing
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/jobs").status_code == 200
        time.sleep(max(LOCKED_S - (time.monotonic() - locked), 0))
        # and when the process is ended, all goes on, and what it had written is gone
        locking.send_signal(signal.SIGKILL)
        locking.communicate(timeout=10)
        free = time.monotonic()
        one.wait_for_the_end(LEASE_S + GRACE_S)
        recovery(time.monotonic() - free)
    assert worker.poll() is None
    assert one.states() == {"succeeded": 10}
    submitted += one.submit(QUICK)
    one.wait_for_the_end(GRACE_S)
    invariant(one, submitted)
