"""The watchdog: what it thinks is overdue, and how it ends a process that hangs."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from workers.notes import Notes
from workers.watchdog import EXIT_HUNG, Watchdog

ROOT = Path(__file__).parents[2]

HANGS = """
import sys, threading, time
from pathlib import Path
from uuid import UUID
from workers.notes import Notes
from workers.watchdog import Watchdog
path, worker, hung, neighbour, kind = sys.argv[1:]
notes = Notes(Path(path))
notes.begin(UUID(worker))
watchdog = Watchdog(notes, stalled_s=0.5 if kind == "stall" else 120.0)
watchdog.start()
def busy():
    with watchdog.guarding([UUID(neighbour)], 60.0):
        time.sleep(60)
threading.Thread(target=busy, daemon=True).start()
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


def end_of(path: Path, kind: str) -> tuple[int, tuple[UUID | None, frozenset[UUID]], list[UUID]]:
    ids = [uuid4() for _ in range(3)]
    program = [sys.executable, "-c", HANGS, str(path), *map(str, ids), kind]
    code = subprocess.run(program, cwd=ROOT, timeout=30, check=False, capture_output=True).returncode
    notes = Notes(path)
    found = notes.left_behind()
    notes.close()
    return code, found, ids


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
