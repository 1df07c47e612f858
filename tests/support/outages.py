"""A broker that can be cut off from Sightline, while the test itself still reaches it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import func, select

from storage.session import read, write
from storage.tables import jobs
from storage.tenants import configure
from tests.support.backlog import stored_picture
from tests.support.brokers import BROKERS, Broker
from tests.support.drill import QUICK, SLOW
from tests.support.proxy import Proxy
from tests.support.system import TENANT, System
from tests.support.waiting import eventually
from workers.celery_app import SUBMIT, make_app


@dataclass(frozen=True)
class Line:
    """The line to a broker: through the proxy for Sightline, straight for the test."""

    proxy: Proxy
    straight: Broker
    through: Broker

    def fail(self, kind: str) -> None:
        """Have it fail in one of the two ways: `cut` is silent, `refuse` resets."""
        getattr(self.proxy, kind)()


@contextmanager
def a_line_to(kind: str, folder: Path) -> Iterator[Line]:
    """A broker of that kind behind a proxy."""
    with BROKERS[kind](folder) as there:
        port = urlsplit(there.url).port
        assert port is not None
        proxy = Proxy(port)
        try:
            yield Line(proxy, there, Broker(there.url.replace(f":{port}", f":{proxy.port}"), there.prefix))
        finally:
            proxy.close()


@dataclass
class Producer:
    """A tenant's system that submits through Celery, straight to the broker."""

    one: System
    broker: Broker
    sha256: str = ""
    sent: int = 0

    def __post_init__(self) -> None:
        write(self.one.engine, configure, TENANT, intake_enabled=True)
        self.sha256 = stored_picture(self.one, TENANT, QUICK)

    def send(self, count: int = 1, **more: object) -> list[str]:
        """Send submissions; return their keys."""
        settings = self.one.settings.model_copy(update={"broker_url": self.broker.url})
        queue = f"intake.{TENANT}"
        app = make_app(settings, [queue])
        keys = [f"key-{self.sent + at}" for at in range(count)]
        self.sent += count
        for key in keys:
            body = {"application": "inspection", "images": [self.sha256], "idempotency_key": key, **more}
            app.send_task(SUBMIT, kwargs=body, queue=f"{self.broker.prefix}{queue}", ignore_result=True)
        app.close()
        return keys

    def taken(self, keys: Sequence[str]) -> list[UUID]:
        """Return the jobs that these submissions became."""
        made = select(jobs.c.id).where(jobs.c.idempotency_key.in_(list(keys)))
        return read(self.one.engine, lambda connection: list(connection.execute(made).scalars()))

    def wait_until_taken(self, keys: Sequence[str], within_s: float) -> list[UUID]:
        """Wait until each submission has become a job; return the jobs."""
        try:
            eventually(lambda: len(self.taken(keys)) == len(keys), within_s, "every submission is taken in")
        except AssertionError as error:
            raise AssertionError(f"{error}: {len(self.taken(keys))} of {len(keys)}\n{self.one.logs()}") from None
        return self.taken(keys)


def ended(one: System) -> int:
    """Return how many jobs have ended."""
    count = select(func.count()).where(jobs.c.ended_at.is_not(None))
    return read(one.engine, lambda connection: connection.execute(count).scalar_one())


def keep_submitting(one: System, order: int, seconds: float, every_s: float = 1.0) -> list[UUID]:
    """Submit a job every so often, for so long."""
    until, made = time.monotonic() + seconds, []
    while time.monotonic() < until:
        made += one.submit(order, metadata={"during": len(made)})
        time.sleep(min(every_s, max(until - time.monotonic(), 0)))
    return made


def put_under_load(one: System) -> list[UUID]:
    """Start a dispatcher and a worker, and have jobs wait, rung for, running and ended; return them."""
    one.start("dispatch")
    one.start("worker")
    submitted = one.submit(SLOW, 60)
    eventually(lambda: ended(one) > 8, 15, "work is under way")
    return submitted
