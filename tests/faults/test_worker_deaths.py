"""kill -9 at moments that a gate, a lock or a picture makes certain."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from storage.session import read
from storage.tables import jobs
from tests.support.drill import GATED, QUICK, SLOW
from tests.support.gates import Gates
from tests.support.invariant import invariant
from tests.support.locks import held, somebody_waits, written_by_nobody_else
from tests.support.pairings import EMBEDDED, RABBITMQ, REDIS, on
from tests.support.slow_picture import submit_slow_picture
from tests.support.system import System
from tests.support.waiting import eventually
from workers.supervisor import free_port

pytestmark = [pytest.mark.service, pytest.mark.fault]

LEASE_S = 3.0
WITHIN_S = LEASE_S + 10.0
Recovery = Callable[[float], None]


def column(one: System, name: str) -> list[object]:
    return read(one.engine, lambda connection: list(connection.execute(select(jobs.c[name])).scalars()))


def working(one: System) -> set[object]:
    """Return the workers that hold jobs."""
    holders = select(jobs.c.worker).where(jobs.c.state == "running").distinct()
    return read(one.engine, lambda connection: set(connection.execute(holders).scalars()))


def kill(worker: subprocess.Popen[bytes]) -> float:
    """Kill it and return when."""
    worker.kill()
    worker.wait()
    return time.monotonic()


def all_succeed(one: System, since: float, count: int, recovery: Recovery, within_s: float = WITHIN_S) -> None:
    one.wait_for_the_end(within_s)
    recovery(time.monotonic() - since)
    assert one.states() == {"succeeded": count}, one.logs()
    assert set(column(one, "attempts")) == {0}, "a lost worker uses up no attempt"


@on(EMBEDDED, RABBITMQ)
def test_killed_between_hearing_and_claiming(one: System, gates: Gates, recovery: Recovery) -> None:
    # given one thread, which a job holds, and jobs behind it that were heard
    gates.hold("run")
    one.start("dispatch")
    worker = one.start("worker", SIGHTLINE_JOB_THREADS="1")
    submitted = one.submit(GATED)
    gates.reached("run")
    submitted += one.submit(QUICK, 1)
    eventually(lambda: column(one, "rung_at").count(None) == 0, 10, "it was rung for")
    time.sleep(1)  # and heard: nothing outside tells of it

    killed = kill(worker)
    gates.open("run")
    one.start("worker")

    all_succeed(one, killed, 2, recovery)
    invariant(one, submitted)


@on(REDIS)
def test_killed_after_a_commit_in_the_transaction_of_the_next_claim(one: System, recovery: Recovery) -> None:
    # given a job that has been committed, and a claim that has taken the next one and is not done
    one.start("dispatch")
    worker = one.start("worker", SIGHTLINE_JOB_THREADS="1")
    submitted = one.submit(QUICK)
    one.wait_for_the_end(15)
    submitted += one.submit(QUICK, not_before=(datetime.now(UTC) + timedelta(seconds=1.5)).isoformat())
    with held(one, "LOCK TABLE job_images IN ACCESS EXCLUSIVE MODE"):
        somebody_waits(one, "SELECT job_images.%")
        killed = kill(worker)
    one.start("worker")

    all_succeed(one, killed, 2, recovery)
    assert set(column(one, "losses")) == {0}, "that claim never was"
    invariant(one, submitted)


@on(EMBEDDED)
def test_killed_between_the_claim_and_the_model_call(one: System, gates: Gates, recovery: Recovery) -> None:
    gates.hold("prepare")
    one.start("dispatch")
    worker = one.start("worker")
    submitted = one.submit(GATED, 3)
    gates.reached("prepare")

    killed = kill(worker)
    gates.open("prepare")
    one.start("worker")

    all_succeed(one, killed, 3, recovery)
    invariant(one, submitted)


@on(REDIS)
def test_killed_while_decoding(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    worker = one.start("worker")
    slow = submit_slow_picture(one)
    notes = one.settings.run_folder / "worker-0.notes"
    eventually(lambda: slow.bytes in notes.read_bytes(), 15, "it decodes")

    killed = kill(worker)
    assert slow.bytes in notes.read_bytes(), "its note outlives it"
    one.start("worker")

    all_succeed(one, killed, 1, recovery, WITHIN_S + 10)
    assert column(one, "strikes") == [0]
    invariant(one, [slow])


@on(RABBITMQ)
def test_killed_while_loading_a_model(one: System, gates: Gates, recovery: Recovery) -> None:
    gates.hold("load")
    one.start("dispatch")
    worker = one.start("worker")
    submitted = one.submit(QUICK, 4, params={"model": "gated"})
    gates.reached("load")

    killed = kill(worker)
    gates.open("load")
    one.start("worker")

    all_succeed(one, killed, 4, recovery)
    invariant(one, submitted)


@on(REDIS)
def test_killed_in_the_transaction_of_a_commit(one: System, recovery: Recovery) -> None:
    # given jobs that the commit has ended already, and results that it cannot write yet
    one.start("dispatch")
    worker = one.start("worker")
    with held(one, "LOCK TABLE results IN ACCESS EXCLUSIVE MODE"):
        submitted = one.submit(QUICK, 8)
        somebody_waits(one, "INSERT INTO results%")
        killed = kill(worker)
    one.start("worker")

    all_succeed(one, killed, 8, recovery)
    invariant(one, submitted)


@on(EMBEDDED)
def test_killed_between_the_model_call_and_the_commit(one: System, gates: Gates, recovery: Recovery) -> None:
    gates.hold("run")
    one.start("dispatch")
    worker = one.start("worker")
    submitted = one.submit(GATED, 4)
    gates.reached("run")
    with written_by_nobody_else(one):
        gates.open("run")
        time.sleep(0.5)  # its answers are there, and the commit waits for the file
        killed = kill(worker)
    one.start("worker")

    all_succeed(one, killed, 4, recovery)
    invariant(one, submitted)


@on(RABBITMQ)
def test_killed_twice_in_a_row(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    submitted = one.submit(SLOW, 12)
    for _ in range(2):
        worker = one.start("worker")
        eventually(lambda: "running" in one.states(), 15, "it works")
        time.sleep(0.3)
        killed = kill(worker)
    one.start("worker")

    all_succeed(one, killed, 12, recovery, WITHIN_S + 12 * 0.5)
    invariant(one, submitted)


@on(EMBEDDED, RABBITMQ)
def test_all_workers_killed_at_once(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    workers = [one.start("worker", machine=name) for name in ("north", "south")]
    submitted = one.submit(SLOW, 120)
    eventually(lambda: len(working(one)) == 2, 15, f"both work\n{one.logs()}")

    killed = min(kill(worker) for worker in workers)
    for name in ("north", "south"):
        one.start("worker", machine=name)

    all_succeed(one, killed, 120, recovery, WITHIN_S + 16 * 0.5 + 120 * 0.5 / 8)
    invariant(one, submitted)


def pid(one: System, name: str) -> int | None:
    file = one.settings.run_folder / f"{name}-0.ready"
    return int(file.read_text()) if file.exists() else None


def alive(number: int) -> bool:
    stat = Path(f"/proc/{number}/stat")
    return stat.exists() and " Z " not in stat.read_text()


@on(EMBEDDED)
def test_the_supervisors_worker_killed_five_times_in_a_row_is_back_each_time(one: System, recovery: Recovery) -> None:
    up = one.spawn("up", "--port", str(free_port()))
    submitted = one.submit(SLOW, 24)
    for _ in range(5):
        eventually(lambda: pid(one, "worker") is not None, 30, f"a worker is there\n{one.logs()}")
        number = pid(one, "worker")
        assert number is not None
        os.kill(number, signal.SIGKILL)
        killed = time.monotonic()
        eventually(lambda: pid(one, "worker") != number, 30, "its successor has begun")  # noqa: B023

    # A pause of 8 s before the fifth start; each suspect runs alone, half a second each.
    all_succeed(one, killed, 24, recovery, WITHIN_S + 8 + 24 * 0.5)
    up.terminate()
    assert up.wait(30) == 0
    invariant(one, submitted)


@on(REDIS)
def test_the_supervisor_killed_takes_its_processes_along_and_another_one_works_on(
    one: System, recovery: Recovery
) -> None:
    up = one.spawn("up", "--port", str(free_port()))
    submitted = one.submit(SLOW, 24)
    eventually(lambda: "running" in one.states(), 30, f"it works\n{one.logs()}")
    children = [int(told) for told in Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split()]

    killed = kill(up)
    eventually(lambda: not any(map(alive, children)), 20, "nobody outlives it for longer than a drain")
    one.spawn("up", "--port", str(free_port()))

    all_succeed(one, killed, 24, recovery, WITHIN_S + 10 + 24 * 0.5)
    invariant(one, submitted)
