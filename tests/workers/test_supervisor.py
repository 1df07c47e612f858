"""How the supervisor ends what it started."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage.settings import Settings
from workers import supervisor
from workers.supervisor import Child, Supervisor

pytestmark = pytest.mark.service

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def child(name: str, folder: Path) -> Child:
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return Child(name, [], folder / f"{name}.log", process=process)


def test_processes_that_do_not_leave_share_one_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given four workers and a broker that do not heed SIGTERM, and a second for each group
    monkeypatch.setattr(supervisor, "LEAVE_S", 1.0)
    children = [child("broker", tmp_path), *(child("worker", tmp_path) for _ in range(4))]
    watched = Supervisor(Settings(data=tmp_path, drain_seconds=0.0), children)
    # when the supervisor ends
    begun = time.monotonic()
    watched._end_all()
    # then two limits have passed, not five, and nobody is left
    assert 2.0 <= time.monotonic() - begun < 4.0
    assert all(one.process is not None and one.process.poll() is not None for one in children)


def test_a_process_that_cannot_be_started_is_tried_again_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a machine that has no memory for another process
    one, tried = Child("worker", ["--help"], tmp_path / "worker.log"), []

    def refuse(*_: object, **__: object) -> None:
        tried.append(time.monotonic())
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as crowded:
        crowded.setattr(subprocess, "Popen", refuse)
        # when the supervisor looks after it, then it goes on, and pauses this one
        until = time.monotonic() + 20
        while len(tried) < 2 and time.monotonic() < until:
            one.keep_alive({})
            time.sleep(0.01)
    assert 0.4 < tried[1] - tried[0] < 10
    # and starts it once there is room
    one.pause_s = 0.0
    one.keep_alive(dict(os.environ))
    assert one.process is not None
    one.wait_until(time.monotonic() + 20)
    assert one._out is not None
    one._out.close()
