"""Faults in any order, several at a time, on a system under load: what a night on call may bring.

A storm is a seed: the same seed does the same things in the same order, though not at the same microsecond. Every
disturbance undoes itself after a while; whatever process it ended is started again, as a supervisor would.
"""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from domain.errors import SightlineError
from storage.jobs import cancel, replay
from storage.session import write
from tests.support.drill import ABORT, QUICK, RAISE, SLOW, STARVE
from tests.support.outages import Line
from tests.support.proxy import Proxy
from tests.support.system import TENANT, System
from workers.celery_app import BROKER_ERRORS, MESSAGE_VERSION, RING, all_queue_names, make_app

TURN_S = 0.25
ORDERS = [QUICK] * 60 + [SLOW] * 30 + [RAISE] * 5 + [STARVE] * 3 + [ABORT]
ROLES = ("dispatch", "dispatch", "worker", "worker")
CALL_LIMIT_S = "5"


@dataclass
class Storm:
    """One storm over one system. `database` is the line to PostgreSQL; SQLite has none."""

    one: System
    broker: Line
    database: Proxy | None
    random: random.Random
    submitted: list[UUID] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    _crew: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _undo: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def blow(self, seconds: float) -> None:
        """Submit, disturb and restart for so long; then undo everything that is still wrong."""
        self._crew = [self._start(role) for role in ROLES]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._submit()
            if self.random.random() < 0.3:
                self._disturb()
            self._undo_what_is_due(time.monotonic())
            self._restart_the_dead()
            time.sleep(TURN_S)
        self._undo_what_is_due(float("inf"))

    def calm(self, within_s: float) -> float:
        """Keep processes alive, disturb nothing; return after how many seconds every job had ended."""
        begun = time.monotonic()
        while {"queued", "running"} & set(self.one.states()):
            if time.monotonic() - begun > within_s:
                raise AssertionError(
                    f"not calm after {within_s} s: {self.one.states()}; it went: {self.done}\n{self.one.logs()}"
                )
            self._restart_the_dead()
            time.sleep(TURN_S)
        return time.monotonic() - begun

    def _start(self, role: str) -> subprocess.Popen[bytes]:
        return self.one.spawn(role, SIGHTLINE_CALL_LIMIT_S=CALL_LIMIT_S)

    def _restart_the_dead(self) -> None:
        self._crew = [
            process if process.poll() is None else self._start(role)
            for role, process in zip(ROLES, self._crew, strict=True)
        ]

    def _submit(self) -> None:
        told = {"supersede_key": f"camera-{self.random.randrange(3)}"} if self.random.random() < 0.1 else {}
        lane = self.random.choice(["interactive", "standard", "bulk"])
        for order in self.random.choices(ORDERS, k=self.random.randrange(5)):
            self.submitted += self.one.submit(order, lane=lane, **told)

    def _disturb(self) -> None:
        names = [name for name in DISTURBANCES if self.database or not name.startswith("the database")]
        name = self.random.choice(names)
        self.done.append(name)
        DISTURBANCES[name](self)

    def _undo_what_is_due(self, now: float) -> None:
        due = [undo for at, undo in self._undo if at <= now]
        self._undo = [(at, undo) for at, undo in self._undo if at > now]
        for undo in due:
            undo()

    def later(self, undo: Callable[[], None], longest_s: float) -> None:
        """Undo a disturbance after a while."""
        self._undo.append((time.monotonic() + self.random.uniform(0.3, longest_s), undo))

    def signalled(self, role: str, number: int) -> subprocess.Popen[bytes]:
        """Send a signal to one process of a kind."""
        process = self.random.choice([it for it, name in zip(self._crew, ROLES, strict=True) if name == role])
        if process.poll() is None:
            process.send_signal(number)
        return process

    def stopped(self, role: str) -> None:
        """Let a process stand still for up to two leases."""
        process = self.signalled(role, signal.SIGSTOP)
        self.later(lambda: process.poll() is None and process.send_signal(signal.SIGCONT), 7.0)

    def failed(self, line: Proxy, kind: str) -> None:
        """Let a line fail for a while."""
        getattr(line, kind)()
        self.later(line.heal, 6.0)

    def asked(self, change: Callable[..., object]) -> None:
        """Cancel or replay some jobs, whatever their state."""
        for job_id in self.random.sample(self.submitted, min(5, len(self.submitted))):
            try:
                write(self.one.engine, change, TENANT, job_id)
            except SightlineError:
                continue  # a typed refusal is an answer

    def rung(self) -> None:
        """Ring twenty times for jobs of any state and for ones that never were."""
        ids = [str(job_id) for job_id in self.random.sample(self.submitted, min(20, len(self.submitted)))]
        settings = self.one.settings.model_copy(update={"broker_url": self.broker.straight.url})
        app = make_app(settings, all_queue_names())
        queue = f"{settings.queue_prefix}inspection.standard"
        # A connection of its own: Celery's pool was seen to leave one open behind an outage.
        with suppress(*BROKER_ERRORS), app.connection_for_write() as line:  # perhaps nobody has declared the queue yet
            for _ in range(20):
                app.send_task(RING, args=[MESSAGE_VERSION, [*ids, str(uuid4())]], queue=queue, connection=line)
        app.close()


DISTURBANCES: dict[str, Callable[[Storm], object]] = {
    "a worker is killed": lambda storm: storm.signalled("worker", signal.SIGKILL),
    "a worker is told to leave": lambda storm: storm.signalled("worker", signal.SIGTERM),
    "a worker stands still": lambda storm: storm.stopped("worker"),
    "a dispatcher is killed": lambda storm: storm.signalled("dispatch", signal.SIGKILL),
    "a dispatcher stands still": lambda storm: storm.stopped("dispatch"),
    "the broker falls silent": lambda storm: storm.failed(storm.broker.proxy, "cut"),
    "the broker refuses": lambda storm: storm.failed(storm.broker.proxy, "refuse"),
    "the broker's old connections are forgotten": lambda storm: storm.broker.proxy.strand(),
    "the database falls silent": lambda storm: storm.failed(storm.database, "cut"),
    "the database refuses": lambda storm: storm.failed(storm.database, "refuse"),
    "the database's old connections are forgotten": lambda storm: storm.database.strand(),
    "jobs are cancelled": lambda storm: storm.asked(cancel),
    "jobs are replayed": lambda storm: storm.asked(replay),
    "doorbells are repeated and forged": lambda storm: storm.rung(),
}
