"""`sightline up`: every process of a one-machine installation, in one session, watched and restarted.

The supervisor holds no state of its own. A process that ends is started again, after a pause that grows while it keeps
ending; what it was doing is found in the database by its successor.
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from domain.applications import applications
from domain.errors import Unavailable
from storage.settings import Settings, environment_for

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 30.0
"""A process that ran so long is started again after the first, short pause."""
LEAVE_S = 15.0
"""How much longer than a drain a process may take to leave."""
LOOK_EVERY_S = 0.1
PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One process and how it fared."""

    name: str
    arguments: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause_s: float = 0.0
    restarts: int = -1
    _out: IO[bytes] | None = None

    def keep_alive(self, environment: dict[str, str]) -> None:
        """Start it if it is not running and its pause is over."""
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None and self.started:
            self._mourn(self.process.returncode)
        if time.monotonic() >= self.started + self.pause_s:
            try:
                self._start(environment)
            except (OSError, subprocess.SubprocessError) as error:
                # No memory for a fork, no file for its log: the others must not end for it.
                self._pause()
                log.warning("%s cannot be started: %s", self.name, error, extra={"event": "up.not_started"})

    def _pause(self) -> None:
        self.pause_s = min(max(self.pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self.started, self.process = time.monotonic(), None

    def _mourn(self, code: int) -> None:
        if time.monotonic() - self.started > STEADY_S:
            self.pause_s = 0.0
        self._pause()
        log.warning(
            "%s ended with %d and is started again", self.name, code, extra={"event": "up.restart", "code": code}
        )

    def _start(self, environment: dict[str, str]) -> None:
        self._out = self._out or self.log.open("ab")
        self.process = subprocess.Popen(  # noqa: S603  (our own command)
            [sys.executable, "-m", "sightline", *self.arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._out,
            process_group=0,  # Ctrl-C reaches the supervisor alone, which then ends the others in order
            preexec_fn=_die_with_parent,
        )
        self.started = time.monotonic()
        self.restarts += 1

    def ask_to_leave(self) -> None:
        """Send SIGTERM, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait_until(self, moment: float) -> None:
        """Wait for its end until a moment on the monotonic clock; kill it then."""
        if self.process is None:
            return
        try:
            self.process.wait(max(moment - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            log.warning("%s did not leave in time and is killed", self.name, extra={"event": "up.killed"})
            self.process.kill()
            self.process.wait()


@dataclass
class Supervisor:
    """The processes of one machine."""

    settings: Settings
    children: list[Child]
    closing: threading.Event = field(default_factory=threading.Event)

    def run(self, announce: str) -> None:
        """Keep everything alive until a signal comes; print `announce` once everything serves."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: self.closing.set())
        environment = environment_for(self.settings)
        announced = False
        try:
            while not self.closing.is_set():
                for child in self.children:
                    child.keep_alive(environment)
                if not announced and self._serving():
                    announced = True
                    print(announce, flush=True)
                # Not a wait for `closing`: a signal that came while this thread holds its lock would set it from within
                # this thread, and stand still for ever.
                time.sleep(LOOK_EVERY_S)
        finally:
            self._end_all()

    def _end_all(self) -> None:
        """End the workers first, the broker last; each group at once, with one time limit for all of it."""
        last = [child for child in self.children if child.name == "broker"]
        first = [child for child in self.children if child.name in {"worker", "trainer"}]
        others = [child for child in self.children if child.name not in {"worker", "trainer", "broker"}]
        for group in (first, others, last):
            for child in group:
                child.ask_to_leave()
            until = time.monotonic() + self.settings.drain_seconds + LEAVE_S
            for child in group:
                child.wait_until(until)
        # A broker is another program by then, and leaves its pid file behind.
        for path in self.settings.run_folder.glob("broker-*.pid"):
            path.unlink()

    def _serving(self) -> bool:
        try:
            ready = {
                path.read_bytes().decode("ascii", "replace").strip()
                for path in self.settings.run_folder.glob("*.ready")
            }
        except FileNotFoundError:
            return False  # its process ended between the two looks
        waits = [child for child in self.children if child.name in {"dispatch", "worker", "intake"}]
        return all(c.process is not None and str(c.process.pid) in ready for c in waits) and _answers(self.settings.url)


def plan(settings: Settings, *, broker: Sequence[str] | None, workers: int, gateway_port: int) -> list[Child]:
    """Return the processes of one machine, in the order in which they are started."""
    logs = settings.data / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    told: list[tuple[str, Sequence[str]]] = []
    if broker is not None:
        told.append(("broker", broker))
    told += [("serve", ["serve", "--port", str(gateway_port)]), ("dispatch", ["dispatch"]), ("intake", ["intake"])]
    told += [("worker", ["worker"])] * workers
    told += [("trainer", ["worker", "--queues", name]) for name, one in applications().items() if one.apart]
    return [Child(name, list(arguments), logs / f"{name}-{at}.log") for at, (name, arguments) in enumerate(told)]


def free_port() -> int:
    """Return a port of the loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def must_be_free(port: int) -> None:
    """Raise Unavailable where somebody listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Unavailable(f"port {port} is taken; choose another with --port") from error


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310  (our own loopback URL)
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _die_with_parent() -> None:
    """Let the kernel end this process when the supervisor dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.umask(0o077)
