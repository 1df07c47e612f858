"""PostgreSQL that answers and says no: conflicts, deadlocks, and locks that strangers hold. Leases are 3 s."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import psycopg
import pytest

from domain.errors import TransitionRefused
from storage.jobs import cancel
from storage.session import write
from tests.support.drill import QUICK, SLOW
from tests.support.far_database import ANSWER_S, GRACE_S, LEASE_S, a_system
from tests.support.invariant import invariant
from tests.support.load import load
from tests.support.system import TENANT, System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

Recovery = Callable[[float], None]


@pytest.fixture
def one(postgresql_url: str, tmp_path) -> Iterator[System]:
    """A system on a database of its own on the shared server; nothing started."""
    with a_system(postgresql_url, tmp_path) as made:
        yield made


@contextmanager
def a_stranger(one: System) -> Iterator[psycopg.Connection]:
    """A session that is none of ours."""
    url = one.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_a_database_whose_default_isolation_is_stricter_changes_nothing(one: System, recovery: Recovery) -> None:
    # given a database that an administrator made strict
    with a_stranger(one) as stranger:
        name = one.engine.url.database
        stranger.execute(f'ALTER DATABASE "{name}" SET default_transaction_isolation = serializable')
    one.engine.dispose()
    # when two dispatchers and three workers are at it, and jobs come, are cancelled and superseded
    for role in ("dispatch", "dispatch", "worker", "worker", "worker"):
        one.start(role)
    submitted: list[UUID] = []
    with load(one, every_s=0.01) as submissions, ThreadPoolExecutor(4) as threads:
        for key in [f"key-{at % 5}" for at in range(40)]:
            submitted += threads.submit(one.submit, SLOW, 1, supersede_key=key).result()
        for job_id in submitted[::3]:
            threads.submit(_cancel, one, job_id)
    over = time.monotonic()
    one.wait_for_the_end(LEASE_S + GRACE_S + 10)
    recovery(time.monotonic() - over)
    # then everything has ended once
    assert set(one.states()) <= {"succeeded", "cancelled", "superseded"}
    assert one.states()["succeeded"] >= len(submissions.accepted)
    assert submissions.refused == 0, "nobody was told to come again"
    invariant(one, submitted + submissions.accepted)


def _cancel(one: System, job_id: UUID) -> None:
    with suppress(TransitionRefused):  # it had ended
        write(one.engine, cancel, TENANT, job_id)


def test_deadlocks_with_a_stranger_end_no_job_twice(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    one.start("worker")
    one.start("worker")
    with load(one, every_s=0.01) as submissions, a_stranger(one) as stranger:
        eventually(lambda: one.states().get("succeeded", 0) > 20, 15, "jobs succeed")
        # given a session that locks jobs in the reverse order, slowly, and leaves it to the others to find the deadlock
        stranger.execute("SET deadlock_timeout = '60s'")
        until = time.monotonic() + 5
        while time.monotonic() < until:
            _lock_in_reverse(stranger)
        over = time.monotonic()
    # then everything ends once
    one.wait_for_the_end(LEASE_S + GRACE_S + ANSWER_S)
    recovery(time.monotonic() - over)
    with a_stranger(one) as stranger:
        counted = stranger.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert counted.fetchone()[0] > 0, "there were deadlocks"
    assert one.states() == {"succeeded": len(submissions.accepted)}
    invariant(one, submissions.accepted)


def _lock_in_reverse(stranger: psycopg.Connection) -> None:
    waiting = "SELECT id FROM jobs WHERE state IN ('queued', 'running') ORDER BY id DESC LIMIT 8"
    try:
        with stranger.transaction():
            for (job_id,) in stranger.execute(waiting).fetchall():
                stranger.execute("SELECT id FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
                time.sleep(0.02)
    except psycopg.errors.DeadlockDetected:
        pass


def test_a_row_that_a_stranger_holds_is_waited_for_and_ends_nobodys_lease(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    one.start("worker")
    # given jobs that run, and one about to be ready that a stranger has locked for longer than the lease
    submitted = one.submit(SLOW, 4, params={"model": "sleeper"})
    eventually(lambda: one.states().get("running", 0) == 4, 10, "jobs run")
    submitted += one.submit(QUICK, not_before=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    with a_stranger(one) as stranger, stranger.transaction():
        stranger.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", submitted[-1:])
        time.sleep(2 * LEASE_S)
    released = time.monotonic()
    # then both end, and the lease held on
    one.wait_for_the_end(LEASE_S + GRACE_S + ANSWER_S)
    recovery(time.monotonic() - released)
    assert one.states() == {"succeeded": 5}
    assert "lease.lapsed" not in one.logs()
    invariant(one, submitted)


def test_a_locked_table_exhausts_the_gateway_which_says_so_and_costs_no_worker_its_lease(
    one: System, recovery: Recovery
) -> None:
    one.start("dispatch")
    one.start("worker")
    with one.gateway() as client:
        submitted = one.submit(QUICK)
        one.wait_for_the_end(10)
        [image] = client.get(f"/v1/jobs/{submitted[0]}").json()["images"]
        submitted += one.submit(SLOW, 4, params={"model": "sleeper"})
        eventually(lambda: one.states().get("running", 0) == 4, 10, "jobs run")
        # given a stranger who holds the table, as a migration may, and more requests than there are threads
        with a_stranger(one) as stranger, ThreadPoolExecutor(60) as threads:
            with stranger.transaction():
                stranger.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
                begun = time.monotonic()
                asked = [threads.submit(post, client, image, f"key-{at}") for at in range(60)]
                while time.monotonic() - begun < 6:
                    assert client.get("/healthz", timeout=1).status_code == 200
                    assert client.get("/readyz", timeout=8).status_code == 200, "the workers' table is free"
                    time.sleep(0.1)
            released = time.monotonic()
            answers = [future.result() for future in asked]
        # then each is accepted or told to come again
        assert {(answer.status_code, answer.json().get("code")) for answer in answers} <= {
            (202, None),
            (503, "storage_unavailable"),
        }
        assert time.monotonic() - begun < 20
        # and all is well afterwards
        again = [post(client, image, f"key-{at}") for at in range(60)]
        assert {answer.status_code for answer in again} == {202}
        submitted += [UUID(answer.json()["id"]) for answer in again]
        one.wait_for_the_end(LEASE_S + GRACE_S + ANSWER_S)
        recovery(time.monotonic() - released)
    assert one.states() == {"succeeded": 61 + 4}
    assert "lease.lapsed" not in one.logs(), "the table of the leases was free"
    invariant(one, submitted)


def post(client: httpx.Client, sha256: str, key: str) -> httpx.Response:
    body = {"application": "inspection", "images": [sha256]}
    return client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})
