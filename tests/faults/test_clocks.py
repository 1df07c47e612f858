"""Clocks that are an hour off, and clocks that jump. The database's clock judges; durations are each process's own."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from storage.image_store import ImageStore
from storage.session import read
from storage.tables import jobs
from tests.support.brokers import BROKERS, local_redis
from tests.support.clocks import LOOK_S, Clock, off_by
from tests.support.drill import QUICK, SLOW, STARVE
from tests.support.invariant import invariant
from tests.support.system import ROOT, System, picture, system
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

Recovery = Callable[[float], None]

HOUR = 3600
LEASE_S = 3.0
GRACE_S = 10.0


def column(one: System, name: str) -> list[object]:
    return read(one.engine, lambda connection: list(connection.execute(select(jobs.c[name])).scalars()))


def hand_in(client: httpx.Client, order: int, count: int, **request: object) -> list[UUID]:
    """Hand in jobs through the gateway, under its clock."""
    handed = []
    for shade in range(count):
        told = httpx.Request("POST", "http://none", json={"application": "inspection", **request}).content
        files = {"request": (None, told), "images": ("part.png", picture(order, shade))}
        answer = client.post("/v1/jobs", files=files)
        assert answer.status_code == 202, answer.text
        handed.append(UUID(answer.json()["id"]))
    return handed


def listed(client: httpx.Client) -> list[UUID]:
    """Return all jobs, page by page."""
    found, before = [], {}
    while True:
        page = client.get("/v1/jobs", params={"limit": 7, **before}).json()
        found += [UUID(job["id"]) for job in page["jobs"]]
        if page["next"] is None:
            return found
        before = {"before": page["next"]}


@pytest.mark.parametrize(("broker", "ahead"), [("redis", HOUR), ("rabbitmq", -HOUR)])
def test_an_hour_between_clocks_changes_neither_leases_nor_deadlines_and_pages_hold_each_job_once(
    broker: str, ahead: int, postgresql_url: str, tmp_path: Path
) -> None:
    with BROKERS[broker](tmp_path) as there, system(postgresql_url, there.url, tmp_path, there.prefix) as one:
        # given a gateway, a dispatcher and a worker with one wrong clock, and a worker that is wrong the other way
        one.start("dispatch", **off_by(ahead))
        one.start("worker", **off_by(ahead))
        one.start("worker", **off_by(-ahead))
        with one.gateway(**off_by(ahead)) as client:
            now = datetime.now(UTC)
            # when jobs are handed in under either clock, some held back, some with a deadline
            submitted = hand_in(client, QUICK, 10) + one.submit(QUICK, 10) + one.submit(SLOW, 6)
            held_back = hand_in(client, QUICK, 1, not_before=(now + timedelta(seconds=4)).isoformat())
            in_time = hand_in(client, QUICK, 1, deadline=(now + timedelta(seconds=60)).isoformat())
            too_late = hand_in(client, QUICK, 1, deadline=(now - timedelta(seconds=60)).isoformat())
            one.wait_for_the_end(LEASE_S + GRACE_S)
            # then what is judged by a clock is judged by the database's
            told = {job: client.get(f"/v1/jobs/{job}").json() for job in (*held_back, *in_time, *too_late)}
            assert [told[job]["state"] for job in told] == ["succeeded", "succeeded", "expired"]
            assert datetime.fromisoformat(told[held_back[0]]["started_at"]) >= now + timedelta(seconds=4)
            assert not told[in_time[0]]["late"]
            assert all(abs(at - now) < timedelta(seconds=30) for at in column(one, "created_at"))
            # and each ran once, under leases that nobody took for lapsed
            every = [*submitted, *held_back, *in_time, *too_late]
            assert sorted(column(one, "token")) == [0] + [1] * (len(every) - 1)
            assert "lapsed" not in one.logs()
            # and pages hold each job once, though ids were made by clocks an hour apart
            assert sorted(listed(client)) == sorted(every)
            invariant(one, every)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_worker_with_a_wrong_clock_that_dies_is_noticed_when_its_lease_lapses(
    ahead: int, postgresql_url: str, tmp_path: Path, recovery: Recovery
) -> None:
    with local_redis(tmp_path) as there, system(postgresql_url, there.url, tmp_path, there.prefix) as one:
        # given a worker whose clock is wrong, in mid-batch
        one.start("dispatch", **off_by(-ahead))
        wrong = one.start("worker", machine="elsewhere", **off_by(ahead))
        submitted = one.submit(SLOW, 8)
        eventually(lambda: one.states().get("running", 0) > 0, 10, "a batch runs")
        # when it dies, and another machine's worker is there
        wrong.kill()
        wrong.wait(10)
        begun = time.monotonic()
        one.start("worker")
        # then its jobs are taken over after the lease, by nobody's clock but the database's
        one.wait_for_the_end(LEASE_S + GRACE_S)
        recovery(time.monotonic() - begun)
        assert one.states() == {"succeeded": 8}
        invariant(one, submitted)


SWEEP = """
import sys
from storage.image_store import FOLDERS, ImageStore
from storage.images import sweep
from storage.session import connect
print(sweep(connect(sys.argv[1]), ImageStore(sys.argv[2]), 86400.0, FOLDERS))
"""


def test_a_sweep_by_a_clock_two_days_ahead_takes_no_image_that_a_submission_will_name(
    postgresql_url: str, tmp_path: Path
) -> None:
    with local_redis(tmp_path) as there, system(postgresql_url, there.url, tmp_path, there.prefix) as one:
        store = ImageStore(one.settings.images_url)
        with one.gateway(**off_by(-HOUR)) as client:
            # given an image just handed in that no job names yet, and bytes whose row is still to be written
            sent = client.post("/v1/images", content=picture(QUICK)).json()["sha256"]
            unnamed = store.put(picture(QUICK, 1))
            # when the store is swept by a process that thinks it is the day after tomorrow
            command = [sys.executable, "-c", SWEEP, one.settings.database_url, one.settings.images_url]
            environment = {"PYTHONPATH": str(ROOT), "PATH": "", **off_by(48 * HOUR)}
            subprocess.run(command, env=environment, check=True, timeout=60)
            # then the image's row was judged by the database's clock, and its file by its row
            assert store.has(sent)
            assert not store.has(unnamed), "the test tells nothing if that clock is not believed at all"
            one.start("dispatch", **off_by(48 * HOUR))
            one.start("worker")
            answer = client.post("/v1/jobs?wait=10", json={"application": "inspection", "images": [sent]})
            assert answer.json()["state"] == "succeeded", answer.text
            # and the other upload, which goes on now, finds its bytes gone and stores them again
            others = hand_in(client, QUICK, 2)
            one.wait_for_the_end(GRACE_S)
            assert store.has(unnamed)
            invariant(one, [UUID(answer.json()["id"]), *others])


@contextmanager
def one_machine(database_url: str, folder: Path, clock: Clock) -> Iterator[tuple[System, httpx.Client]]:
    """A one-machine installation, all of whose processes go by one clock; the test itself goes by the true time."""
    with local_redis(folder) as there, system(database_url, there.url, folder, there.prefix) as one:
        one.extra = clock.environment
        with one.gateway() as client:
            yield one, client


def test_a_machines_clock_that_jumps_an_hour_ahead_costs_running_jobs_a_run_and_loses_nothing(
    sqlite_url: str, tmp_path: Path, recovery: Recovery
) -> None:
    clock = Clock(tmp_path / "clock", -HOUR)
    with one_machine(sqlite_url, tmp_path, clock) as (one, client):
        # given jobs that run, and jobs that wait
        one.start("dispatch")
        one.start("worker")
        submitted = hand_in(client, SLOW, 8, params={"model": "sleeper"}) + hand_in(client, QUICK, 20)
        eventually(lambda: one.states().get("running", 0) == 8, 10, "its threads are taken")
        # when the clock jumps: every lease has lapsed at once
        clock.set(0)
        # then the worker is fenced, takes a new lease, and all end: 19 s where nothing else runs
        recovery(one.wait_for_the_end(LEASE_S + GRACE_S + 3 * 4))
        assert one.states() == {"succeeded": 28}
        assert [line for line in one.logs().splitlines() if "a run failed" in line] == []
        assert set(column(one, "attempts")) == {0}
        invariant(one, submitted)


def test_a_machines_clock_that_is_set_back_an_hour_holds_nothing_up_for_an_hour(
    sqlite_url: str, tmp_path: Path, recovery: Recovery
) -> None:
    clock = Clock(tmp_path / "clock", HOUR)
    with one_machine(sqlite_url, tmp_path, clock) as (one, client):
        # given a worker that runs jobs, jobs that wait, jobs that wait for another attempt, and a dispatcher
        one.start("dispatch")
        dying = one.start("worker", machine="elsewhere", SIGHTLINE_RETRY_DELAY_S="6", SIGHTLINE_MAX_ATTEMPTS="2")
        again = hand_in(client, STARVE, 2)
        eventually(lambda: sorted(column(one, "attempts")) == [1, 1], 10, "they wait for another attempt")
        running = hand_in(client, SLOW, 8, params={"model": "sleeper"})
        eventually(lambda: one.states().get("running", 0) == 8, 10, "its threads are taken")
        waiting = hand_in(client, QUICK, 20)
        # when that worker dies and the clock is set back: its lease has an hour to go, and so have the others' moments
        dying.kill()
        dying.wait(10)
        clock.set(0)
        time.sleep(LOOK_S)
        one.start("worker", SIGHTLINE_MAX_ATTEMPTS="2")
        # then nothing waits for the old time to come again
        recovery(one.wait_for_the_end(LEASE_S + GRACE_S + 2 * 4))
        assert one.states() == {"succeeded": 28, "dead": 2}
        assert "clock.set_back" in one.logs()
        invariant(one, again + running + waiting)


def test_a_clock_that_was_set_back_while_no_process_ran_is_noticed_at_the_next_start(
    sqlite_url: str, tmp_path: Path, recovery: Recovery
) -> None:
    # given a machine that ran an hour ahead, and was shut down with jobs waiting
    clock = Clock(tmp_path / "clock", HOUR)
    with one_machine(sqlite_url, tmp_path, clock) as (one, client):
        submitted = hand_in(client, QUICK, 20)
        one.processes[-1].kill()
        # when it starts again with the right time
        clock.set(0)
        one.start("dispatch")
        one.start("worker")
        # then they run now
        recovery(one.wait_for_the_end(GRACE_S))
        assert one.states() == {"succeeded": 20}
        invariant(one, submitted)
