"""A system of real processes on databases and brokers of its own, for tests that break it."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
from PIL import Image
from sqlalchemy import Connection, Engine, func, select

from domain.access import Scope
from domain.images import ImageLimits
from domain.jobs import JobState
from domain.requests import JobRequest
from storage.image_check import examine
from storage.image_store import ImageStore
from storage.images import keep
from storage.keys import create
from storage.session import connect, read, write
from storage.settings import Settings
from storage.submit import submit
from storage.tables import jobs
from storage.tenants import ensure
from tests.support.waiting import eventually, wait_for_port
from workers.supervisor import free_port

ROOT = Path(__file__).parents[2]
DRILL = Path(__file__).parent / "drill.toml"
TENANT = "acme"


def picture(order: int, shade: int = 0) -> bytes:
    """Return a small PNG whose first pixel tells the drill what to do; `shade` makes its bytes differ."""
    image = Image.new("RGB", (32, 32), (120, 120, 120))
    image.putpixel((0, 0), (order, 0, 0))
    image.putpixel((1, 0), (shade % 256, shade // 256 % 256, shade // 65536))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@dataclass
class System:
    """One installation. Processes are started and killed by the test."""

    settings: Settings
    engine: Engine
    extra: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, *arguments: str, machine: str = "", before: Sequence[str] = (), **extra: str
    ) -> subprocess.Popen[bytes]:
        """Start `sightline ARGUMENTS` and return when it serves. Another `machine` is another data folder.

        `before` goes before the command, which must become it (`ip netns exec`).
        """
        process = self.spawn(*arguments, machine=machine, before=before, **extra)
        if arguments[0] in {"worker", "dispatch", "intake"}:
            data = self.settings.data / machine
            eventually(lambda: self._ready(process, data), 30, f"`sightline {' '.join(arguments)}` serves")
        return process

    def spawn(
        self, *arguments: str, machine: str = "", before: Sequence[str] = (), **extra: str
    ) -> subprocess.Popen[bytes]:
        """Start `sightline ARGUMENTS` and return at once."""
        environment = {
            **os.environ,
            "SIGHTLINE_DATA": str(self.settings.data / machine),
            "SIGHTLINE_IMAGES_URL": self.settings.images_url,
            "SIGHTLINE_DATABASE_URL": self.settings.database_url,
            "SIGHTLINE_BROKER_URL": self.settings.broker_url,
            "SIGHTLINE_QUEUE_PREFIX": self.settings.queue_prefix,
            "SIGHTLINE_LEASE_SECONDS": str(self.settings.lease_seconds),
            "SIGHTLINE_RERING_SECONDS": str(self.settings.rering_seconds),
            "SIGHTLINE_DRAIN_SECONDS": str(self.settings.drain_seconds),
            "SIGHTLINE_MODELS": str(DRILL),
            "PYTHONPATH": str(ROOT),
            **self.extra,
            **extra,
        }
        self.settings.data.mkdir(parents=True, exist_ok=True)
        with (self.settings.data / f"{arguments[0]}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "sightline", *arguments],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        self.processes.append(process)
        return process

    def _ready(self, process: subprocess.Popen[bytes], data: Path) -> bool:
        if process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}:\n{self.logs()}")
        try:
            return str(process.pid) in {path.read_text("ascii").strip() for path in data.glob("run/*.ready")}
        except FileNotFoundError:
            return False  # a starting process took its predecessor's file away between the two looks

    def alive(self, role: str) -> bool:
        """Say whether a process of that sub-command runs."""
        return any(role in process.args and process.poll() is None for process in self.processes)

    @contextmanager
    def gateway(self, **extra: str) -> Iterator[httpx.Client]:
        """Serve HTTP, and yield a client with a key of the tenant that may do everything."""
        port = free_port()
        self.start("serve", "--port", str(port), **extra)
        wait_for_port(port)
        key = write(self.engine, create, TENANT, "test", Scope).key
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            yield client

    def logs(self) -> str:
        """Return the end of every process's log."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-4000:]}" for path in self.settings.data.glob("*.log"))

    def submit(self, order: int, count: int = 1, **request: object) -> list[UUID]:
        """Submit inspections whose pictures tell the drill what to do."""
        return [self._submit_one(order, at, request) for at in range(count)]

    def _submit_one(self, order: int, shade: int, request: dict[str, object]) -> UUID:
        data = picture(order, shade)
        store = ImageStore(self.settings.images_url)
        ref = keep(self.engine, store, TENANT, data, examine(data, ImageLimits(), "picture.png"))
        told = JobRequest.model_validate({"application": "inspection", "images": [ref.sha256], **request})
        key = request.get("idempotency_key")
        return write(
            self.engine, submit, TENANT, told, idempotency_key=str(key) if key else None, backlog_limit=1_000_000
        ).job_id

    def states(self) -> dict[str, int]:
        """Return how many jobs are in each state, counted row by row."""
        return read(self.engine, states)

    def wait_for_the_end(self, within_s: float) -> float:
        """Wait until every job has ended; return after how many seconds."""
        going = {JobState.QUEUED.value, JobState.RUNNING.value}
        try:
            return eventually(lambda: not going & set(self.states()), within_s, "every job has ended")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.states()}\n{self.logs()}") from None

    def close(self) -> None:
        """End every process that the test left."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)
        self.engine.dispose()


def states(connection: Connection) -> dict[str, int]:
    """Return how many jobs are in each state, counted row by row."""
    rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
    return {row[0]: row[1] for row in rows}


@contextmanager
def system(database_url: str, broker_url: str, folder: Path, prefix: str = "", **settings: float) -> Iterator[System]:
    """Make an installation on these; end its processes at the end."""
    told = {"lease_seconds": 3.0, "rering_seconds": 2.0, "drain_seconds": 10.0, **settings}
    made = Settings(data=folder / "data", database_url=database_url, broker_url=broker_url, queue_prefix=prefix, **told)
    engine = connect(made.database_url)
    write(engine, ensure, TENANT)
    one = System(made, engine)
    try:
        yield one
    finally:
        one.close()
