"""Notes of what a worker is busy with, which survive it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from workers.notes import SLOTS, Notes

ROOT = Path(__file__).parents[2]

BUSY = """
import sys, time
from pathlib import Path
from uuid import UUID
from workers.notes import Notes
notes = Notes(Path(sys.argv[1]))
notes.begin(UUID(sys.argv[2]))
with notes.noting([UUID(sys.argv[4])]):
    pass
with notes.noting([UUID(sys.argv[3])]):
    print("busy", flush=True)
    time.sleep(60)
"""


def left_in(path: Path) -> tuple[UUID | None, frozenset[UUID]]:
    notes = Notes(path)
    found = notes.left_behind()
    notes._map.close()
    notes._file.close()
    return found


def test_a_new_file_tells_of_nobody(tmp_path: Path) -> None:
    # given no file
    # when it is opened
    # then nobody was here
    assert left_in(tmp_path / "notes") == (None, frozenset())


@pytest.mark.service
def test_notes_survive_a_process_that_is_killed(tmp_path: Path) -> None:
    # given a process that is busy with one job and done with another
    worker, busy_with, done_with = uuid4(), uuid4(), uuid4()
    program = [sys.executable, "-c", BUSY, str(tmp_path / "notes"), str(worker), str(busy_with), str(done_with)]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"busy\n"
        # when it is killed
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    # then its successor reads who it was and what it was busy with
    assert left_in(tmp_path / "notes") == (worker, frozenset({busy_with}))


def test_a_note_lasts_as_long_as_its_block(tmp_path: Path) -> None:
    # given a worker's notes
    notes, worker, first, second = Notes(tmp_path / "notes"), uuid4(), uuid4(), uuid4()
    notes.begin(worker)
    # when blocks begin and end, one in the other, the inner one with an error
    with notes.noting([first]):
        try:
            with notes.noting([second, first]):
                assert notes.left_behind() == (worker, frozenset({first, second}))
                raise ValueError("the call failed")
        except ValueError:
            pass
        # then each job is noted as long as its outermost block runs
        assert notes.left_behind() == (worker, frozenset({first}))
    assert notes.left_behind() == (worker, frozenset())
    notes.close()


def test_whoever_ends_in_order_leaves_nothing(tmp_path: Path) -> None:
    # given a worker that closes its notes
    notes = Notes(tmp_path / "notes")
    notes.begin(uuid4())
    notes.close()
    # when its successor looks
    # then there is nobody to bury
    assert left_in(tmp_path / "notes") == (None, frozenset())


def test_a_new_worker_starts_afresh(tmp_path: Path) -> None:
    # given notes that a dead worker left
    dead = Notes(tmp_path / "notes")
    dead.begin(uuid4())
    dead.noting([uuid4()]).__enter__()
    # when the successor begins
    notes, worker = Notes(tmp_path / "notes"), uuid4()
    notes.begin(worker)
    # then the old notes are gone
    assert notes.left_behind() == (worker, frozenset())
    notes.close()
    dead._file.close()


def test_a_new_lease_keeps_the_notes_of_what_is_on_the_device(tmp_path: Path) -> None:
    # given a job on the device, whose worker's lease lapses
    notes, second, job, done = Notes(tmp_path / "notes"), uuid4(), uuid4(), uuid4()
    notes.begin(uuid4())
    with notes.noting([done]):
        pass
    with notes.noting([job]):
        # when a new lease begins
        notes.begin(second)
        # then a crash is still told of that job, and of no other
        assert notes.left_behind() == (second, frozenset({job}))
    assert notes.left_behind() == (second, frozenset())
    notes.close()


def test_a_new_lease_does_not_wipe_why_the_process_ends(tmp_path: Path) -> None:
    # given a process that the watchdog is about to end
    notes, second, hung = Notes(tmp_path / "notes"), uuid4(), uuid4()
    notes.begin(uuid4())
    with notes.noting([hung]):
        notes.leave_only([hung])
        notes.say("a device call passed its limit")
        # when a new lease begins in this moment
        notes.begin(second)
        # then its successor reads whose fault it was, and why
        assert notes.left_behind() == (second, frozenset({hung}))
        assert notes.last_words() == "a device call passed its limit"
    notes.close()


def test_before_a_watchdogs_end_only_the_hung_jobs_notes_stay(tmp_path: Path) -> None:
    # given two jobs on the device and one being decoded
    notes, worker = Notes(tmp_path / "notes"), uuid4()
    notes.begin(worker)
    hung, neighbour, late = uuid4(), uuid4(), uuid4()
    with notes.noting([hung]), notes.noting([neighbour]):
        # when the watchdog leaves only the hung one's, and another call still begins before the process has ended
        notes.leave_only([hung])
        with notes.noting([late]):
            # then nobody else is suspected
            assert notes.left_behind() == (worker, frozenset({hung}))
    notes.close()


def test_a_successor_reads_why_its_predecessor_ended_itself(tmp_path: Path) -> None:
    # given a worker that ends itself, and says at length why
    notes = Notes(tmp_path / "notes")
    notes.begin(uuid4())
    assert notes.last_words() == ""
    notes.say("it held too much \N{EM DASH} " + "x" * 1_000)
    # when its successor looks
    successor = Notes(tmp_path / "notes")
    # then it reads the beginning, nobody is noted, and its own life begins without last words
    assert successor.last_words().startswith("it held too much \N{EM DASH} xxx")
    assert successor.left_behind()[1] == frozenset()
    successor.begin(uuid4())
    assert successor.last_words() == ""
    for one in (notes, successor):
        one.close()


def test_more_jobs_than_slots_are_not_an_error(tmp_path: Path) -> None:
    # given more jobs than there are slots
    notes = Notes(tmp_path / "notes")
    many = [uuid4() for _ in range(SLOTS + 5)]
    # when they are noted
    with notes.noting(many):
        # then as many as fit are
        assert len(notes.left_behind()[1]) == SLOTS
    assert notes.left_behind()[1] == frozenset()
    notes.close()
