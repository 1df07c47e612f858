"""The watchdog: what it thinks is overdue, and how it ends a process that hangs."""

import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from workers.notes import Notes
from workers.watchdog import EXIT_FROZEN, EXIT_HUNG, EXIT_MEMORY, Watchdog

ROOT = Path(__file__).parents[2]

HANGS = """
import ctypes, sys, threading, time
from pathlib import Path
from uuid import UUID
from workers.notes import Notes
from workers.watchdog import Watchdog
path, worker, hung, neighbour, kind = sys.argv[1:]
notes = Notes(Path(path))
notes.begin(UUID(worker))
stalled_s = {"stall": 0.5, "freeze": 1.0}.get(kind, 120.0)
watchdog = Watchdog(notes, stalled_s=stalled_s, memory_limit=300e6 if kind == "grow" else 1e12)
watchdog.start()
def busy():
    with watchdog.guarding([UUID(neighbour)], 60.0):
        time.sleep(60)
threading.Thread(target=busy, daemon=True).start()
if kind == "freeze":
    with watchdog.guarding([UUID(hung)], 60.0):
        ctypes.PyDLL(None).sleep(60)  # native code that keeps the interpreter's lock
if kind == "grow":
    held = []
    with watchdog.guarding([UUID(hung)], 60.0):
        while len(held) < 100:  # and no further: without the guard this machine must live on
            held.append(b"x" * 10_000_000)
            time.sleep(0.01)
        time.sleep(60)
if kind == "hang":
    with watchdog.guarding([UUID(hung)], 0.3):
        time.sleep(60)
time.sleep(60)
"""


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.guard("watchdog: a hung call ends the process")
def test_a_call_is_overdue_when_its_own_limit_has_passed(tmp_path: Path) -> None:
    # given two calls with limits of their own
    clock, jobs = Clock(), (uuid4(), uuid4())
    watchdog = Watchdog(Notes(tmp_path / "notes"), clock)
    with watchdog.guarding(jobs[:1], 5.0), watchdog.guarding(jobs[1:], 50.0):
        # when time passes
        assert watchdog.overdue() == []
        clock.now += 6
        # then the short one is overdue, and is noted like the other
        assert [watched.jobs for watched in watchdog.overdue()] == [jobs[:1]]
        assert watchdog.notes.left_behind()[1] == frozenset(jobs)
    # and what has ended is not
    assert watchdog.overdue() == []
    assert watchdog.notes.left_behind()[1] == frozenset()
    watchdog.notes.close()


def test_a_whole_job_is_timed_without_a_note_and_blamed_when_it_hangs(tmp_path: Path) -> None:
    # given a job that is timed, beside one that is on the device
    clock, job, neighbour = Clock(), uuid4(), uuid4()
    watchdog = Watchdog(Notes(tmp_path / "notes"), clock)
    with watchdog.timing(job, 5.0), watchdog.guarding([neighbour], 60.0):
        assert watchdog.notes.left_behind()[1] == {neighbour}
        # when it takes too long
        clock.now += 6
        (overdue,) = watchdog.overdue()
        watchdog.notes.leave_only(overdue.jobs)
        # then its successor will find that job noted, and no other
        assert watchdog.notes.left_behind()[1] == {job}
    watchdog.notes.close()


def test_a_process_that_stood_still_as_a_whole_is_forgiven(tmp_path: Path) -> None:
    # given a call with a limit of five seconds
    clock = Clock()
    watchdog = Watchdog(Notes(tmp_path / "notes"), clock)
    with watchdog.guarding([uuid4()], 5.0):
        # when the process was stopped for a minute
        clock.now += 60
        watchdog._forgive(60)
        # then the call has as much time as before, and not more
        assert watchdog.overdue() == []
        clock.now += 6
        assert len(watchdog.overdue()) == 1
    watchdog.notes.close()


def last_words(path: Path) -> str:
    notes = Notes(path)
    told = notes.last_words()
    notes.close()
    return told


def end_of(path: Path, kind: str) -> tuple[int, tuple[UUID | None, frozenset[UUID]], list[UUID]]:
    ids = [uuid4() for _ in range(3)]
    program = [sys.executable, "-c", HANGS, str(path), *map(str, ids), kind]
    code = subprocess.run(program, cwd=ROOT, timeout=30, check=False, capture_output=True).returncode
    notes = Notes(path)
    found = notes.left_behind()
    notes._map.close()
    notes._file.close()
    return code, found, ids


@pytest.mark.guard("watchdog: only the hung call's jobs are noted")
@pytest.mark.service
def test_a_process_with_a_hung_call_ends_with_its_own_code_and_that_calls_notes(tmp_path: Path) -> None:
    # given a process with a call that never returns, and a neighbour that is merely busy
    # when the watchdog ends it
    code, left, (worker, hung, _) = end_of(tmp_path / "notes", "hang")
    # then its exit code says so, and only the hung call's job is suspected
    assert code == EXIT_HUNG == 86
    assert left == (worker, frozenset({hung}))


@pytest.mark.service
def test_a_process_that_stops_claiming_ends_and_suspects_nobody(tmp_path: Path) -> None:
    # given a process whose claiming loop does not come round
    # when the watchdog ends it
    code, left, (worker, _, _) = end_of(tmp_path / "notes", "stall")
    # then nobody is suspected
    assert code == EXIT_HUNG
    assert left == (worker, frozenset())


@pytest.mark.service
@pytest.mark.guard("watchdog: memory")
def test_a_process_that_holds_too_much_memory_ends_with_its_own_code_and_all_notes(tmp_path: Path) -> None:
    # given a process with a call that allocates without bound, and a neighbour
    # when it is over its limit
    code, left, (worker, grows, neighbour) = end_of(tmp_path / "notes", "grow")
    # then both are suspected, and the successor is told that it was for memory
    assert code == EXIT_MEMORY == 87
    assert left == (worker, frozenset({grows, neighbour}))
    assert "over its limit of 286 MB" in last_words(tmp_path / "notes")


@pytest.mark.service
@pytest.mark.guard("watchdog: native code that keeps the interpreter's lock")
def test_a_process_whose_native_code_keeps_the_interpreters_lock_ends_and_keeps_all_notes(tmp_path: Path) -> None:
    # given a process in which no Python thread runs any more, the watchdog's least of all
    # when the limit has passed
    code, left, (worker, hung, neighbour) = end_of(tmp_path / "notes", "freeze")
    # then it ends all the same, and whoever was on the device or decoded is suspected
    assert code == EXIT_FROZEN
    assert left == (worker, frozenset({hung, neighbour}))


def test_a_log_that_nobody_reads_does_not_keep_a_hung_process() -> None:
    # given a process whose stderr is a pipe that is full
    fills = "import logging, sys; logging.basicConfig(stream=sys.stderr)\n"
    fills += "import os; os.set_blocking(2, False)\ntry:\n    while True: os.write(2, b'x' * 512)\n"
    fills += "except BlockingIOError: os.set_blocking(2, True)\n"
    script = "import workers.watchdog; workers.watchdog.TELL_S = 0.5\n" + fills + HANGS
    with tempfile.TemporaryDirectory() as folder:
        told = [str(Path(folder) / "notes"), *(str(uuid4()) for _ in range(3)), "hang"]
        with subprocess.Popen([sys.executable, "-c", script, *told], cwd=ROOT, stderr=subprocess.PIPE) as process:
            # when a device call hangs
            code = process.wait(20)
    # then it ends all the same
    assert code == EXIT_HUNG
