"""Submissions that go on while the database is broken, and know which jobs were accepted in the end."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from domain.errors import Unavailable
from domain.images import ImageLimits
from domain.requests import JobRequest
from storage.image_check import examine
from storage.image_store import ImageStore
from storage.images import keep
from storage.session import Engine, connect, write
from storage.submit import submit
from tests.support.drill import QUICK
from tests.support.system import TENANT, System, picture

AGAIN_S = 0.1


@dataclass
class Load:
    """One job after another, each with a key, and again until it is accepted."""

    one: System
    engine: Engine
    every_s: float
    accepted: list[UUID] = field(default_factory=list)
    refused: int = 0
    """how many times it was told that the database does not answer"""
    _ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Submit until told to end; whatever was begun is accepted."""
        request = self._until_accepted(self._keep)
        while not self._ending.wait(self.every_s):
            key = uuid4().hex
            self.accepted.append(self._until_accepted(lambda key=key: self._submit(request, key)))

    def end(self) -> None:
        """Begin no more."""
        self._ending.set()

    def _keep(self) -> JobRequest:
        data = picture(QUICK)
        told = examine(data, ImageLimits(), "picture.png")
        ref = keep(self.engine, ImageStore(self.one.settings.images_url), TENANT, data, told)
        return JobRequest(application="inspection", images=(ref.sha256,))

    def _submit(self, request: JobRequest, key: str) -> UUID:
        return write(self.engine, submit, TENANT, request, idempotency_key=key, backlog_limit=1_000_000).job_id

    def _until_accepted(self, work):
        while True:
            try:
                return work()
            except Unavailable:
                self.refused += 1
                time.sleep(AGAIN_S)


@contextmanager
def load(one: System, every_s: float = 0.03) -> Iterator[Load]:
    """Submit while the block runs; at its end everything that was begun has been accepted."""
    engine = connect(one.settings.database_url, answer_s=one.settings.database_answer_s)
    made = Load(one, engine, every_s)
    thread = threading.Thread(target=made.run, name="load", daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.end()
        thread.join(60)
        engine.dispose()
    assert not thread.is_alive(), "every submission was accepted in the end"
