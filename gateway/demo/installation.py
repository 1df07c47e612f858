"""A whole installation in a temporary folder, for as long as it is needed."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from domain.errors import Unavailable
from gateway.client import Client
from storage.settings import Settings, environment_for

START_S = 120.0
END_S = 90.0
TAIL_LINES = 15


@contextmanager
def running(data: Path) -> Iterator[Client]:
    """Start `sightline up` on embedded defaults in a folder; yield its client; end it in order, or by force.

    Raises Unavailable, with the end of the log, where it does not come up.
    """
    port = _free_port()
    log = data / "up.log"
    data.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  (ourselves)
            [sys.executable, "-m", "sightline", "up", "--port", str(port)],
            env=environment_for(_embedded(data, port), SIGHTLINE_MODELS="embedded", SIGHTLINE_CONFIG=""),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=out,
            start_new_session=True,  # Ctrl-C reaches us first; `_end` then ends it in order
        )
    try:
        url = _ready(process, log)
        with Client(url, (data / "admin.key").read_text("ascii").strip()) as client:
            yield client
    finally:
        _end(process)


def _embedded(data: Path, port: int) -> Settings:
    """Return the settings of an installation that needs nothing, whatever the environment says of another."""
    return Settings(
        data=data,
        database_url=f"sqlite:///{data / 'sightline.db'}",
        broker_url="",
        images_url=str(data / "images"),
        models="embedded",
        url=f"http://127.0.0.1:{port}",
    )


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait for the line `ready URL`."""
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            word, _, url = lines.get(timeout=0.2).partition(" ")
        except queue.Empty:
            if process.poll() is not None:
                raise Unavailable(f"`sightline up` ended with {process.returncode}:\n{_tail(log)}") from None
            continue
        if word == "ready":
            return url.strip()
    raise Unavailable(f"`sightline up` was not ready after {START_S:.0f} s:\n{_tail(log)}")


def _read(out: IO[bytes], lines: queue.Queue[str]) -> None:
    """Pass lines on until the pipe is closed, so that it never fills."""
    for line in out:
        lines.put(line.decode("utf-8", "replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own session: the supervisor and what it started
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-TAIL_LINES:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
