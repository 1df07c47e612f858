"""Replays and submissions that come twice at the same time, and everything that people ask for at once."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from domain.errors import Conflict, NotFound
from domain.jobs import JobState
from domain.requests import JobRequest
from storage import jobs as asked
from storage.session import read, write
from storage.submit import Submitted, submit_many
from storage.tables import heads, job_images, jobs
from tests.support.drill import QUICK, SLOW, STARVE
from tests.support.invariant import invariant
from tests.support.pairings import EMBEDDED, RABBITMQ, REDIS, on
from tests.support.system import ROOT, TENANT, System, picture

pytestmark = [pytest.mark.service, pytest.mark.fault]

REPLAYER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID
from domain.errors import TransitionRefused
from gateway.client import Client

def replay(job):
    try:
        return f"{job} {client.replay(UUID(job)).state.value}"
    except TransitionRefused:
        return f"{job} refused"

with Client(sys.argv[1], sys.argv[2]) as client, ThreadPoolExecutor(4) as pool:
    ids = sys.stdin.read().split()
    print("\\n".join(pool.map(replay, ids)))
"""
"""What `sightline jobs replay` calls, for many ids in one process."""


def column(one: System, name: str) -> list[object]:
    return read(one.engine, lambda connection: list(connection.execute(select(jobs.c[name])).scalars()))


def at_once(*works: Callable[[], None]) -> None:
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], None]) -> None:
        barrier.wait(10)
        work()

    threads = [threading.Thread(target=begin, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)


@on(REDIS)
@pytest.mark.timeout(240)
def test_a_thousand_dead_jobs_replayed_twice_at_the_same_time_run_once_more_each(one: System, recovery) -> None:
    # given a thousand jobs that died of what their pictures did
    one.start("dispatch")
    worker = one.start("worker", SIGHTLINE_MAX_ATTEMPTS="1")
    submitted = many(one, STARVE, 1000)
    one.wait_for_the_end(60)
    assert one.states() == {"dead": 1000}
    worker.terminate()
    worker.wait(20)
    # when the cause is gone, and two processes replay them all
    one.start("worker", SIGHTLINE_DRILL_CURED="1")
    begun = time.monotonic()
    with one.gateway() as gateway:
        told = replayed_by_two(gateway, submitted)
    one.wait_for_the_end(60)
    recovery(time.monotonic() - begun)
    # then of each two replays one was accepted and one refused, and each job ran once more
    accepted = Counter(line.split()[0] for line in told if "refused" not in line)
    assert accepted == {str(job): 1 for job in submitted}
    assert len(told) == 2000
    assert one.states() == {"succeeded": 1000}
    assert set(column(one, "token")) == {2}
    invariant(one, submitted)


def many(one: System, order: int, count: int) -> list[UUID]:
    """Submit jobs of one picture, in one transaction."""
    (first,) = one.submit(order)
    (sha256,) = ids(one, select(job_images.c.sha256).where(job_images.c.job_id == first))
    request = JobRequest(application="inspection", images=(sha256,))
    done = submit_many(one.engine, TENANT, [(request, None)] * (count - 1), backlog_limit=1_000_000)
    return [first, *(told.job_id for told in done if isinstance(told, Submitted))]


def replayed_by_two(gateway: httpx.Client, ids: list[UUID]) -> list[str]:
    key = gateway.headers["Authorization"].removeprefix("Bearer ")
    command = [sys.executable, "-c", REPLAYER, str(gateway.base_url), key]
    told = "\n".join(map(str, ids))
    both = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(2)
    ]
    answers: list[str] = []
    at_once(
        *(lambda process=process: answers.extend(process.communicate(told, 95)[0].splitlines()) for process in both)
    )
    return answers


@on(EMBEDDED, REDIS)
def test_of_two_submissions_with_one_supersede_key_at_once_the_head_alone_survives(one: System, tmp_path: Path) -> None:
    one.start("dispatch")
    with one.gateway() as gateway:
        # given twenty rounds of two submissions at once, while nobody runs them
        quiet = [pair for at in range(20) for pair in submitted_at_once(gateway, f"quiet-{at}")]
        # then each round left one that waits, and it is the head
        assert one.states() == {"queued": 20, "superseded": 20}
        waiting = select(jobs.c.id).where(jobs.c.state == JobState.QUEUED.value)
        head = select(heads.c.job_id)
        assert set(ids(one, waiting)) == set(ids(one, head))
        # and given as many while a worker runs them
        one.start("worker")
        busy = [pair for at in range(20) for pair in submitted_at_once(gateway, f"busy-{at}")]
        one.wait_for_the_end(20)
    # then every head has its answer, and whatever was not the head was superseded, or had ended before
    ended = read(one.engine, lambda connection: {row.id: row.state for row in connection.execute(select(jobs))})
    assert {ended[job] for job in ids(one, head)} == {"succeeded"}
    assert {ended[job] for job in set(ended) - set(ids(one, head))} <= {"succeeded", "superseded"}
    assert Counter(ended[job] for job in quiet) == {"succeeded": 20, "superseded": 20}
    invariant(one, quiet + busy)


def ids(one: System, wanted) -> list[UUID]:
    return read(one.engine, lambda connection: list(connection.execute(wanted).scalars()))


def submitted_at_once(gateway: httpx.Client, key: str) -> list[UUID]:
    found: list[UUID] = []

    def submit() -> None:
        files = {"request": (None, f'{{"application": "inspection", "supersede_key": "{key}"}}', "application/json")}
        answer = gateway.post("/v1/jobs", files={**files, "images": ("a.png", picture(QUICK), "image/png")})
        assert answer.status_code == 202, answer.text
        found.append(UUID(answer.json()["id"]))

    at_once(submit, submit)
    assert len(set(found)) == 2
    return found


@on(EMBEDDED, RABBITMQ)
def test_cancels_replays_and_newer_submissions_at_once_leave_each_job_with_one_end(one: System, recovery) -> None:
    # given a worker under way, and people who cancel, replay and submit anew, as fast as they can, whatever is there
    one.start("dispatch")
    one.start("worker")
    submitted = one.submit(SLOW, 6, supersede_key="camera-1") + one.submit(QUICK, 6)
    until = time.monotonic() + 4
    wrong: list[BaseException] = []

    def asks(change: Callable[..., object], seed: int) -> None:
        random = Random(seed)
        while time.monotonic() < until:
            try:
                write(one.engine, change, TENANT, random.choice(submitted))
            except (Conflict, NotFound):
                pass
            except BaseException as error:
                wrong.append(error)
            time.sleep(0.01)

    def submits() -> None:
        while time.monotonic() < until:
            submitted.extend(one.submit(QUICK, 1, supersede_key="camera-1") + one.submit(QUICK, 1))
            time.sleep(0.05)

    # when they all do so at once
    at_once(*(lambda change=change, seed=seed: asks(change, seed) for seed, change in enumerate(CHANGES)), submits)
    # then nobody met an error that is not a refusal, and every job ends, once a life
    begun = time.monotonic()
    assert not wrong
    one.wait_for_the_end(20)
    recovery(time.monotonic() - begun)
    invariant(one, submitted)


CHANGES = (asked.cancel, asked.replay, asked.cancel, asked.replay)
