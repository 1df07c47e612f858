"""Jobs that harm whoever runs them. Neighbours succeed unstruck, the poison ends with the reason, and replay works."""

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from storage.jobs import replay
from storage.session import read, write
from storage.tables import jobs, results
from tests.support.absent import absent
from tests.support.drill import HUGE_TEXT, NUL_IN_TEXT, QUICK, RAISE
from tests.support.invariant import invariant
from tests.support.keeping import keep_a_worker_until_the_end, let_workers_leave, over
from tests.support.pairings import EMBEDDED, RABBITMQ, REDIS, on
from tests.support.poison import Poison
from tests.support.system import TENANT, System
from tests.support.waiting import eventually
from workers.watchdog import EXIT_FROZEN, EXIT_MEMORY

pytestmark = [pytest.mark.service, pytest.mark.fault]

CGROUP = Path("/sys/fs/cgroup/memory")
CURED = {"SIGHTLINE_DRILL_CURED": "1"}


def ended(one: System, ids: Sequence[UUID]) -> list[tuple[str, str | None, int]]:
    """Return each job's state, error code and strikes."""
    rows = read(one.engine, lambda connection: list(connection.execute(select(jobs))))
    by_id = {row.id: (row.state, row.error_code, row.strikes) for row in rows}
    return [by_id[job_id] for job_id in ids]


def message(one: System, job_id: UUID) -> str:
    asked = select(jobs.c.error_message).where(jobs.c.id == job_id)
    return read(one.engine, lambda connection: str(connection.execute(asked).scalar_one()))


def in_good_company(one: System, poison: int) -> tuple[UUID, list[UUID]]:
    """Submit a poison between good jobs; return it, and them."""
    before = one.submit(QUICK, 3)
    (bad,) = one.submit(poison)
    return bad, before + one.submit(QUICK, 3)


def neighbours_are_unharmed(one: System, good: Sequence[UUID]) -> None:
    assert ended(one, good) == [("succeeded", None, 0)] * len(good), one.logs()


@on(REDIS)
def test_a_segfault_ends_dead_and_so_does_its_replay_until_the_cause_is_gone(
    one: System, recovery: Callable[[float], None]
) -> None:
    one.start("dispatch")
    bad, good = in_good_company(one, Poison.SEGFAULT)
    begun = time.monotonic()

    codes = keep_a_worker_until_the_end(one, 30)
    recovery(time.monotonic() - begun)

    assert codes == [-signal.SIGSEGV] * 4, "once in company, then three times alone"
    neighbours_are_unharmed(one, good)
    assert ended(one, [bad]) == [("dead", "struck_out", 3)]
    write(one.engine, replay, TENANT, bad)
    assert keep_a_worker_until_the_end(one, 30) == [-signal.SIGSEGV] * 3, "a suspect from the start"
    assert ended(one, [bad]) == [("dead", "struck_out", 3)]
    let_workers_leave(one)
    write(one.engine, replay, TENANT, bad)
    assert keep_a_worker_until_the_end(one, 30, **CURED) == []
    assert ended(one, [bad]) == [("succeeded", None, 0)]
    invariant(one, [bad, *good])


@on(EMBEDDED)
def test_an_exit_from_a_thread_of_native_code_ends_dead(one: System, recovery: Callable[[float], None]) -> None:
    one.start("dispatch")
    bad, good = in_good_company(one, Poison.EXIT_IN_A_THREAD)
    begun = time.monotonic()

    codes = keep_a_worker_until_the_end(one, 30)
    recovery(time.monotonic() - begun)

    assert codes == [3] * 4
    neighbours_are_unharmed(one, good)
    assert ended(one, [bad]) == [("dead", "struck_out", 3)]
    invariant(one, [bad, *good])


@on(REDIS)
def test_native_code_that_keeps_the_interpreters_lock_for_ever_ends_dead(
    one: System, recovery: Callable[[float], None]
) -> None:
    one.start("dispatch")
    bad, good = in_good_company(one, Poison.FREEZE)
    begun = time.monotonic()

    codes = keep_a_worker_until_the_end(one, 30, SIGHTLINE_STALL_LIMIT_S="3")
    recovery(time.monotonic() - begun)

    assert codes == [EXIT_FROZEN] * 4
    neighbours_are_unharmed(one, good)
    assert ended(one, [bad]) == [("dead", "struck_out", 3)]
    logs = [path.read_text() for path in one.settings.data.glob("worker-*.log")]
    assert sum("Timeout (0:00:03)!" in log for log in logs) == 4, "where every thread stood is in the log"
    invariant(one, [bad, *good])


@on(EMBEDDED)
def test_allocating_without_bound_ends_dead_for_memory(one: System, recovery: Callable[[float], None]) -> None:
    one.start("dispatch")
    bad, good = in_good_company(one, Poison.GROW)
    begun = time.monotonic()

    # The lease is long, so that it is the successor that gives the job back, with the reason that it found.
    told = {"SIGHTLINE_PROCESS_MEMORY_MB": "400", "SIGHTLINE_LEASE_SECONDS": "20"}
    codes = keep_a_worker_until_the_end(one, 30, **told)
    recovery(time.monotonic() - begun)

    assert codes == [EXIT_MEMORY] * 4
    neighbours_are_unharmed(one, good)
    assert ended(one, [bad]) == [("dead", "struck_out", 3)]
    assert "MB of memory, over its limit of 400 MB" in message(one, bad)
    invariant(one, [bad, *good])


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A cgroup (v1) in which the kernel lets nobody hold more than 600 MB."""
    if not os.access(CGROUP / "cgroup.procs", os.W_OK):
        absent(f"no memory cgroup can be made in {CGROUP}: it is absent (cgroup v2?) or read-only")
    group = CGROUP / f"sightline-{uuid4().hex[:8]}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(600 * 1024 * 1024))
    yield group
    for number in (group / "cgroup.procs").read_text().split():
        os.kill(int(number), signal.SIGKILL)
    eventually(lambda: not (group / "cgroup.procs").read_text(), 10, "nobody is left in the cgroup")
    group.rmdir()


@on(REDIS)
@pytest.mark.parametrize(
    ("limit_mb", "ends_with"), [("", EXIT_MEMORY), ("100000", -signal.SIGKILL)], ids=["by-itself", "by-the-kernel"]
)
def test_in_a_container_a_worker_ends_itself_before_the_kernel_does_which_ends_the_job_too(
    one: System, memory_cgroup: Path, limit_mb: str, ends_with: int, recovery: Callable[[float], None]
) -> None:
    # given a worker that finds its container's limit by itself, or one that is told a limit far too high
    told = {"SIGHTLINE_PROCESS_MEMORY_MB": limit_mb} if limit_mb else {}
    one.start("dispatch")
    bad, good = in_good_company(one, Poison.GROW)
    begun, codes = time.monotonic(), []

    while not over(one) and len(codes) < 10:
        worker = one.spawn("worker", **told)
        (memory_cgroup / "cgroup.procs").write_text(str(worker.pid))
        eventually(lambda: worker.poll() is not None or over(one), 30, "it dies or all is done")  # noqa: B023
        codes.append(worker.poll())
    recovery(time.monotonic() - begun)

    assert codes == [ends_with] * 4 + [None]
    neighbours_are_unharmed(one, good)
    assert ended(one, [bad]) == [("dead", "struck_out", 3)]
    invariant(one, [bad, *good])


@on(EMBEDDED)
def test_pythons_own_memory_error_costs_its_job_its_attempts_and_nobody_else_anything(
    one: System, recovery: Callable[[float], None]
) -> None:
    one.start("dispatch")
    worker = one.start("worker", SIGHTLINE_MAX_ATTEMPTS="2", SIGHTLINE_RETRY_DELAY_S="0.1")
    in_use = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[0]) * 4096
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (in_use + 400 * 1024 * 1024,) * 2)
    begun = time.monotonic()

    bad, good = in_good_company(one, Poison.MEMORY_ERROR)
    one.wait_for_the_end(20)
    recovery(time.monotonic() - begun)

    assert worker.poll() is None, "the process lives on"
    neighbours_are_unharmed(one, good)
    assert ended(one, [bad]) == [("dead", "device_out_of_memory", 0)]
    invariant(one, [bad, *good])


RAISED = {
    Poison.SYSTEM_EXIT: ("failed", "model_error"),
    Poison.INTERRUPT: ("failed", "model_error"),
    Poison.BASE_EXCEPTION: ("failed", "model_error"),
    Poison.RECURSION: ("failed", "model_error"),
    Poison.STOP_ITERATION: ("failed", "model_error"),
    Poison.COUNT: ("failed", "model_error"),
    RAISE: ("failed", "model_error"),
    Poison.NOTHING: ("dead", "run_crashed"),
    Poison.NOT_A_NUMBER: ("dead", "run_crashed"),
    Poison.EXIT_IN_PREPARING: ("dead", "run_crashed"),
    Poison.RAISE_IN_PREPARING: ("dead", "run_crashed"),
}
IN_TEXTS = {NUL_IN_TEXT: ("failed", "result_refused"), HUGE_TEXT: ("failed", "result_refused")}


@on(EMBEDDED, RABBITMQ)
def test_whatever_is_raised_or_answered_fails_its_own_job_alone_and_again_until_the_cause_is_gone(
    one: System, recovery: Callable[[float], None]
) -> None:
    told = {"SIGHTLINE_MAX_ATTEMPTS": "2", "SIGHTLINE_RETRY_DELAY_S": "0.1"}
    one.start("dispatch")
    worker = one.start("worker", **told)
    begun = time.monotonic()

    good = one.submit(QUICK, 4) + one.submit(Poison.LEAK_THREADS, 2)
    wanted = {one.submit(order)[0]: end for order, end in RAISED.items()}
    wanted |= {one.submit(order, application="signs")[0]: end for order, end in IN_TEXTS.items()}
    good += one.submit(QUICK, 4)
    one.wait_for_the_end(60)
    recovery(time.monotonic() - begun)

    as_wanted = [(*end, 0) for end in wanted.values()]
    assert ended(one, list(wanted)) == as_wanted, one.logs()
    neighbours_are_unharmed(one, good)
    assert worker.poll() is None, "the process lives on"
    assert all(len(message(one, job_id)) > 10 for job_id in wanted), "each says why"

    for job_id in wanted:
        write(one.engine, replay, TENANT, job_id)
    one.wait_for_the_end(60)
    assert ended(one, list(wanted)) == as_wanted, "the same end again"

    let_workers_leave(one)
    one.start("worker", **CURED)
    inspections = [job_id for job_id, end in wanted.items() if end[1] != "result_refused"]
    for job_id in inspections:
        write(one.engine, replay, TENANT, job_id)
    one.wait_for_the_end(60)
    neighbours_are_unharmed(one, inspections)
    invariant(one, [*wanted, *good])


@on(REDIS)
def test_an_answer_outside_the_picture_is_told_as_given_and_measured_by_what_lies_within(one: System) -> None:
    one.start("dispatch")
    one.start("worker")

    submitted = one.submit(Poison.OUTSIDE)
    one.wait_for_the_end(15)

    assert one.states() == {"succeeded": 1}
    bodies = select(results.c.body)
    (defect,) = read(one.engine, lambda connection: connection.execute(bodies).scalar_one())["defects"]
    assert (defect["box"]["x1"], defect["area_px"]) == (1e9, 32 * 4), "four rows of a picture of 32 pixels"
    invariant(one, submitted)
