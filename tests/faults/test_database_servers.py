"""PostgreSQL that crashes, is restarted, stands still, is full or takes no writes. Leases are 3 s, answers 3 s."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import UUID

import httpx
import psycopg
import pytest

from domain.errors import StorageUnavailable
from tests.support.drill import QUICK, SLOW
from tests.support.far_database import ANSWER_S, GRACE_S, LEASE_S, Served, on_its_own_server
from tests.support.invariant import invariant
from tests.support.load import load
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

Recovery = Callable[[float], None]


@pytest.fixture
def served(tmp_path) -> Iterator[Served]:
    """A system on a server of its own, with a dispatcher and a worker."""
    with on_its_own_server(tmp_path) as made:
        made.one.start("dispatch")
        made.one.start("worker")
        yield made


def post(client: httpx.Client, key: str, sha256: str) -> httpx.Response:
    body = {"application": "inspection", "images": [sha256]}
    return client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})


def take_them_all(served: Served, taken: ExitStack) -> None:
    """Open connections until the server has no more to give."""
    for _ in range(20):
        try:
            taken.enter_context(psycopg.connect(served.server.url, connect_timeout=3))
        except psycopg.OperationalError:
            return


def test_a_database_restarted_in_mid_commit_loses_nothing(served: Served, recovery: Recovery) -> None:
    # given commits under way
    with load(served.one) as submissions:
        eventually(lambda: served.one.states().get("succeeded", 0) > 20, 15, "jobs succeed")
        # when the server crashes, and is then stopped in order
        for mode in ("immediate", "fast"):
            served.server.stop(mode)
            time.sleep(0.5)
            served.server.start()
            time.sleep(1.5)
        back = time.monotonic()
    # then what was accepted ends, and what was refused meanwhile was accepted later
    served.one.wait_for_the_end(LEASE_S + GRACE_S)
    recovery(time.monotonic() - back)
    assert served.one.states() == {"succeeded": len(submissions.accepted)}
    invariant(served.one, submissions.accepted)


def test_a_backend_killed_takes_all_sessions_with_it_and_loses_nothing(served: Served, recovery: Recovery) -> None:
    # given commits under way
    with load(served.one) as submissions:
        eventually(lambda: served.one.states().get("succeeded", 0) > 20, 15, "jobs succeed")
        # when the process of a session is killed: the server then ends all others, and starts again
        [(pid,)] = served.ask(
            "SELECT pid FROM pg_stat_activity WHERE datname = 'sightline' AND pid <> pg_backend_pid()"
            " ORDER BY state = 'active' DESC, state_change DESC LIMIT 1"
        )
        os.kill(int(str(pid)), signal.SIGKILL)
        killed = time.monotonic()
        time.sleep(2)
    # then nothing is missing
    served.one.wait_for_the_end(LEASE_S + GRACE_S)
    recovery(time.monotonic() - killed)
    assert served.one.states() == {"succeeded": len(submissions.accepted)}
    invariant(served.one, submissions.accepted)


def test_a_database_that_stands_still_past_the_lease_is_outlasted(served: Served, recovery: Recovery) -> None:
    one = served.one
    with one.gateway() as client:
        # given jobs under way when the whole server stops moving
        submitted = one.submit(SLOW, 20)
        eventually(lambda: one.states().get("running", 0) > 0, 10, "jobs run")
        served.server.signal_all(signal.SIGSTOP)
        # when the gateway is asked meanwhile, then it says so, in time, and lives
        begun = time.monotonic()
        answer, ready = client.get("/v1/jobs"), client.get("/readyz")
        said_after = time.monotonic() - begun
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert ready.status_code == 503
        assert said_after < 2 * ANSWER_S + 2 * 3 + 2, "an answer, a connection, and two probes"
        assert client.get("/healthz", timeout=1).status_code == 200
        time.sleep(max(2 * LEASE_S + 2 - said_after, 0))
        # and when it moves again, then all goes on
        served.server.signal_all(signal.SIGCONT)
        back = time.monotonic()
        one.wait_for_the_end(LEASE_S + GRACE_S + ANSWER_S)
        recovery(time.monotonic() - back)
        assert client.get("/v1/jobs").status_code == 200
    assert one.states() == {"succeeded": 20}
    invariant(one, submitted)


def test_a_database_without_a_free_connection_is_told_and_waited_for(tmp_path, recovery: Recovery) -> None:
    with (
        on_its_own_server(tmp_path, max_connections="20") as served,
        served.one.gateway() as client,
        ExitStack() as taken,
    ):
        one = served.one
        one.start("dispatch")
        one.start("worker")
        submitted = one.submit(QUICK)
        eventually(lambda: one.states() == {"succeeded": 1}, 10, "it works")
        [image] = client.get(f"/v1/jobs/{submitted[0]}").json()["images"]
        # given a server all of whose connections are taken
        take_them_all(served, taken)
        # when forty requests come at once
        with ThreadPoolExecutor(40) as threads:
            answers = list(threads.map(lambda at: post(client, f"key-{at}", image), range(40)))
        # then each is accepted or told to come again
        assert {answer.status_code for answer in answers} <= {202, 503}
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused, "there were too few connections"
        assert {answer.json()["code"] for answer in refused} == {"storage_unavailable"}
        # and once there is room, the same submissions bring each job once
        taken.close()
        back = time.monotonic()
        again = [post(client, f"key-{at}", image) for at in range(40)]
        assert {answer.status_code for answer in again} == {202}
        submitted += [UUID(answer.json()["id"]) for answer in again]
        one.wait_for_the_end(LEASE_S + GRACE_S)
        recovery(time.monotonic() - back)
        assert one.states() == {"succeeded": 41}
        invariant(one, submitted)


def test_a_database_that_takes_no_writes_for_a_while_is_waited_for(served: Served, recovery: Recovery) -> None:
    # given jobs under way when the server becomes read-only, as in the middle of a failover
    one = served.one
    submitted = one.submit(SLOW, 10)
    eventually(lambda: one.states().get("running", 0) > 0, 10, "jobs run")
    served.ask("ALTER SYSTEM SET default_transaction_read_only = on")
    served.ask("SELECT pg_reload_conf()")
    time.sleep(0.2)
    # when something is submitted, then it is refused for now
    with pytest.raises(StorageUnavailable, match="read-only"):
        one.submit(QUICK)
    time.sleep(LEASE_S + 1)
    # and when writes are taken again, all goes on
    served.ask("ALTER SYSTEM RESET default_transaction_read_only")
    served.ask("SELECT pg_reload_conf()")
    back = time.monotonic()
    one.wait_for_the_end(LEASE_S + GRACE_S)
    recovery(time.monotonic() - back)
    assert one.states() == {"succeeded": 10}
    invariant(one, submitted)
