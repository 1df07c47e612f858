"""What processes leave on their own machine: DIR/run and the logs, removed, full, or full of nonsense."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from storage.jobs import cancel
from storage.session import read, write
from storage.tables import jobs, workers
from tests.support.brokers import local_redis
from tests.support.disks import small_disk
from tests.support.drill import ABORT, HANG, QUICK, SLOW
from tests.support.invariant import invariant
from tests.support.system import DRILL, ROOT, TENANT, System, system
from tests.support.waiting import eventually
from workers.supervisor import free_port
from workers.watchdog import EXIT_HUNG

pytestmark = [pytest.mark.service, pytest.mark.fault]

Recovery = Callable[[float], None]

LEASE_S = 3.0
GRACE_S = 10.0


@pytest.fixture
def here(postgresql_url: str, tmp_path: Path):
    """An installation on PostgreSQL and Redis, nothing started."""
    with local_redis(tmp_path) as broker, system(postgresql_url, broker.url, tmp_path, broker.prefix) as one:
        yield one


def column(one: System, name: str) -> list[object]:
    return read(one.engine, lambda connection: list(connection.execute(select(jobs.c[name])).scalars()))


def test_a_run_folder_removed_under_running_workers_costs_a_lease_and_no_job(here: System, recovery: Recovery) -> None:
    # given a worker in mid-batch, whose folder is removed
    here.start("dispatch")
    first = here.start("worker")
    submitted = here.submit(SLOW, 10)
    eventually(lambda: here.states().get("running", 0) > 0, 10, "a batch runs")
    shutil.rmtree(here.settings.run_folder)
    # when a second one comes, which takes the same number, and the first dies without a note that anybody finds
    second = here.start("worker")
    first.kill()
    first.wait(10)
    # then its jobs run elsewhere after its lease
    recovery(here.wait_for_the_end(LEASE_S + GRACE_S))
    assert here.states() == {"succeeded": 10}
    assert second.poll() is None
    invariant(here, submitted)


def test_a_leaving_process_takes_no_other_processs_files_away(here: System) -> None:
    # given two workers of one number, since the folder was removed between them
    here.start("dispatch")
    first = here.start("worker")
    shutil.rmtree(here.settings.run_folder)
    second = here.start("worker")
    # when the first leaves
    first.send_signal(signal.SIGTERM)
    assert first.wait(15) == 0
    # then the second is still to be found
    for suffix in ("pid", "ready"):
        assert (here.settings.run_folder / f"worker-0.{suffix}").read_text() == f"{second.pid}\n"
    invariant(here, [])


@pytest.mark.parametrize("left", [b"short", os.urandom(100_000)], ids=["short", "long"])
def test_nonsense_in_the_notes_and_pid_files_of_a_predecessor_does_no_harm(here: System, left: bytes) -> None:
    # given files that a broken disk left
    here.settings.run_folder.mkdir(parents=True)
    for suffix in ("notes", "pid", "lock"):
        (here.settings.run_folder / f"worker-0.{suffix}").write_bytes(left)
    # when a worker starts, then it serves
    here.start("worker")
    submitted = here.submit(QUICK, 5)
    here.start("dispatch")
    here.wait_for_the_end(GRACE_S)
    assert here.states() == {"succeeded": 5}
    invariant(here, submitted)


def test_notes_that_name_a_living_worker_fence_it_and_each_job_still_ends_once(here: System) -> None:
    # given a worker in mid-batch, and a machine made from a copy of its folder
    here.start("dispatch")
    here.start("worker")
    submitted = here.submit(SLOW, 8)
    eventually(lambda: here.states().get("running", 0) > 0, 10, "a batch runs")
    copied = here.settings.data / "copy" / "run"
    copied.mkdir(parents=True)
    shutil.copy(here.settings.run_folder / "worker-0.notes", copied)
    # when that machine's worker starts: it takes the other for its dead predecessor
    here.start("worker", machine="copy")
    # then all the same each job ends once
    here.wait_for_the_end(LEASE_S + GRACE_S)
    assert here.states() == {"succeeded": 8}
    assert "its process died" in read(here.engine, lambda c: list(c.execute(select(workers.c.end_reason)).scalars()))
    invariant(here, submitted)


def test_a_full_disk_under_the_run_folder_stops_no_worker_that_runs_and_is_told_by_one_that_starts(
    postgresql_url: str, tmp_path: Path
) -> None:
    with (
        small_disk(tmp_path / "data" / "run", "256k") as disk,
        local_redis(tmp_path) as broker,
        system(postgresql_url, broker.url, tmp_path, broker.prefix, lease_seconds=30.0) as one,
    ):
        # given a worker that runs when its disk fills
        one.start("dispatch")
        first = one.start("worker")
        disk.fill()
        # when it has much to note, then it notes it and goes on
        submitted = one.submit(QUICK, 40)
        one.wait_for_the_end(GRACE_S)
        assert first.poll() is None
        # and its notes are found when a picture kills it
        (poison,) = one.submit(ABORT)
        assert first.wait(15) == -signal.SIGABRT
        write(one.engine, cancel, TENANT, poison)
        # when a process starts there that has no files yet, then it ends with a sentence; not by SIGBUS either, where
        # there is room for its pid file and half its notes
        disk.free()
        one.start("worker", SIGHTLINE_JOB_THREADS="1")
        for leave, role in ((0, "dispatch"), (2, "worker")):
            disk.fill(leave)
            assert one.spawn(role).wait(20) == 1, one.logs()
            disk.free()
        assert one.logs().count("is full; free space and start again") == 2
        # then what the dead one had noted was found, and all goes on
        one.wait_for_the_end(GRACE_S)
        assert one.states() == {"succeeded": 40, "cancelled": 1}
        assert column(one, "suspect").count(True) == 1
        invariant(one, [*submitted, poison])


@pytest.mark.parametrize("fault", ["hangs", "leaves"])
def test_a_full_disk_under_the_logs_keeps_no_process_from_ending(here: System, fault: str) -> None:
    # given a worker whose log takes nothing
    here.start("dispatch")
    log = here.settings.data / "worker-1.log"
    log.symlink_to("/dev/full")
    try:
        worker = here.start("worker", SIGHTLINE_CALL_LIMIT_S="1.5")
    finally:
        log.unlink()
    submitted = here.submit(QUICK, 3)
    here.wait_for_the_end(GRACE_S)
    if fault == "hangs":
        # when a device call hangs, then the watchdog ends it all the same
        (poison,) = here.submit(HANG)
        assert worker.wait(15) == EXIT_HUNG
        write(here.engine, cancel, TENANT, poison)
        here.start("worker")
        here.wait_for_the_end(GRACE_S)
        invariant(here, [*submitted, poison])
    else:
        # when it is told to leave, then it does
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0
        invariant(here, submitted)


def test_a_second_up_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    # given an installation that runs, in whose folder a broken disk left nonsense
    (tmp_path / "data" / "run").mkdir(parents=True)
    (tmp_path / "data" / "run" / "worker-7.ready").write_bytes(b"\xff\xfe")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE_")}
    told = {"SIGHTLINE_DATA": str(tmp_path / "data"), "SIGHTLINE_MODELS": str(DRILL), "PYTHONPATH": str(ROOT)}

    def up(log: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "sightline", "up", "--stand-in", "--port", str(free_port())]
        with log.open("wb") as out:
            return subprocess.Popen(command, env={**clean, **told}, stdout=out, stderr=out, cwd=ROOT)

    both = [first := up(tmp_path / "first.log")]
    try:
        eventually(lambda: b"ready http" in (tmp_path / "first.log").read_bytes(), 60, "it serves")
        url = (tmp_path / "data" / "run" / "gateway.url").read_text()
        # when another is started on its folder
        both.append(second := up(tmp_path / "second.log"))
        # then it says why not, and has touched nothing
        assert second.wait(30) == 1
        assert "run in" in (tmp_path / "second.log").read_text()
        assert (tmp_path / "data" / "run" / "gateway.url").read_text() == url
        assert first.poll() is None
    finally:
        for process in both:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
