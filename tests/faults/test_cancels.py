"""Cancels at every state while the worker dies, and in the middle of a commit."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, select

from domain.errors import TransitionRefused
from storage.jobs import cancel
from storage.session import read, write
from storage.tables import jobs
from tests.support.drill import GATED, QUICK
from tests.support.gates import Gates
from tests.support.invariant import invariant
from tests.support.locks import held, somebody_waits, written_by_nobody_else
from tests.support.pairings import EMBEDDED, REDIS, on
from tests.support.system import TENANT, System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

LEASE_S = 3.0
GRACE_S = 10.0


def row(one: System, job_id: UUID) -> Row[Any]:
    return read(one.engine, lambda connection: connection.execute(select(jobs).where(jobs.c.id == job_id)).one())


def rung(one: System, job_id: UUID) -> None:
    eventually(lambda: row(one, job_id).rung_at is not None, 15, f"it is rung for\n{one.logs()}")


def ask(one: System, job_id: UUID) -> str:
    return write(one.engine, cancel, TENANT, job_id).state.value


def test_a_cancel_at_any_state_holds_though_the_worker_dies_at_that_moment(
    one: System, tmp_path: Path, recovery
) -> None:
    # given a worker with two threads: one job in its model call, one between its claim and that, one that was heard,
    # one whose doorbell waits in the broker, and one that nobody has rung for
    gates = Gates(tmp_path)
    told = {"SIGHTLINE_JOB_THREADS": "2", "SIGHTLINE_DRILL_GATES": str(tmp_path)}
    dispatcher = one.start("dispatch")
    worker = one.start("worker", SIGHTLINE_LEASE_SECONDS="60", **told)
    gates.hold("run")
    (in_the_call,) = one.submit(GATED)
    gates.reached("run")
    gates.hold("prepare")
    (before_the_call,) = one.submit(GATED)
    gates.reached("prepare")
    (heard,) = one.submit(QUICK)
    rung(one, heard)
    time.sleep(0.5)  # and heard: nothing outside tells of it
    worker.send_signal(signal.SIGSTOP)
    (published,) = one.submit(QUICK)
    rung(one, published)
    dispatcher.kill()
    dispatcher.wait(10)
    (unrung,) = one.submit(QUICK)
    submitted = [in_the_call, before_the_call, heard, published, unrung]
    # when all are cancelled, and the worker dies
    answers = [ask(one, job) for job in submitted]
    begun = time.monotonic()
    worker.kill()
    worker.wait(10)
    # then those that wait have ended at once, and those that run when the next worker finds them
    assert answers == ["running"] * 2 + ["cancelled"] * 3, "what runs was asked to stop, and nothing is pretended"
    gates.open("run")
    gates.open("prepare")
    one.start("worker", **told)
    one.start("dispatch")
    one.wait_for_the_end(LEASE_S + GRACE_S)
    recovery(time.monotonic() - begun)
    assert one.states() == {"cancelled": 5}
    assert [row(one, job).token for job in submitted] == [1, 1, 0, 0, 0], "none ran again"
    invariant(one, submitted)


@contextmanager
def commits_stand_still(one: System, job_id: UUID) -> Iterator[None]:
    """Let nobody write this job (on SQLite: anything) for as long as the block runs."""
    if one.engine.dialect.name == "postgresql":
        with held(one, f"SELECT 1 FROM jobs WHERE id = '{job_id}' FOR UPDATE"):
            yield
    else:
        with written_by_nobody_else(one):
            yield


def commit_waits(one: System) -> None:
    if one.engine.dialect.name == "postgresql":
        somebody_waits(one, "UPDATE jobs SET state%")
    else:
        time.sleep(0.5)  # SQLite does not say who waits for its lock


@on(EMBEDDED, REDIS)
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "alive"])
def test_a_cancel_that_meets_a_commit_gives_one_end(one: System, tmp_path: Path, killed: bool, recovery) -> None:
    # given a job whose commit is under way, and a cancel that comes behind it
    gates = Gates(tmp_path)
    gates.hold("run")
    one.start("dispatch")
    worker = one.start("worker", SIGHTLINE_DRILL_GATES=str(tmp_path))
    (job,) = one.submit(GATED)
    gates.reached("run")
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(_answer(one, job)))
    with commits_stand_still(one, job):
        gates.open("run")
        commit_waits(one)
        asking.start()
        time.sleep(0.2)
        # when the worker dies in the middle of it, or does not
        if killed:
            worker.kill()
            worker.wait(10)
    asking.join(30)
    begun = time.monotonic()
    if killed:
        one.start("worker")
    one.wait_for_the_end(LEASE_S + GRACE_S)
    recovery(time.monotonic() - begun)
    # then it ended once, as the answer to the cancel says
    state = row(one, job).state
    assert (answers[0], state) in {("running", "cancelled"), ("succeeded", "succeeded"), ("running", "succeeded")}
    assert row(one, job).token == 1, "it did not run again"
    if killed:
        assert state == "cancelled", "a commit that died is none"
    invariant(one, [job])


def _answer(one: System, job_id: UUID) -> str:
    try:
        return ask(one, job_id)
    except TransitionRefused as refused:
        return str(refused.details["state"])
