"""The broker of a one-machine installation, as the process that it becomes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
SERVER = "#!/bin/sh\necho became another program\nexec sleep 60\n"
"""Stands for redis-server."""
BROKER = """
import sys
from pathlib import Path
from workers.broker import run_broker
run_broker(Path(sys.argv[1]), 1, stand_in=False)
"""


def broker(folder: Path, programs: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    command = [sys.executable, "-c", BROKER, str(folder)]
    one = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE)
    assert one.stdout is not None
    assert one.stdout.readline() == b"became another program\n"
    one.stdout.close()
    return one


@pytest.mark.service
def test_a_broker_that_became_another_program_keeps_its_number_until_it_ends(tmp_path: Path) -> None:
    # given a broker that has become redis-server
    server, run = tmp_path / "redis-server", tmp_path / "run"
    server.write_text(SERVER)
    server.chmod(0o755)
    running = [broker(run, tmp_path)]
    try:
        # when another is started, then it takes the next number, and the first one's pid file stays true
        running.append(broker(run, tmp_path))
        assert [(run / f"broker-{at}.pid").read_text().strip() for at in (0, 1)] == [str(one.pid) for one in running]
        # and when the first has been killed, its number is free
        running[0].send_signal(signal.SIGKILL)
        running[0].wait(10)
        running.append(broker(run, tmp_path))
        eventually(lambda: (run / "broker-0.pid").read_text().strip() == str(running[2].pid), 10, "it took its number")
    finally:
        for one in running:
            one.kill()
            one.wait(10)
