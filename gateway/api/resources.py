"""What the endpoints work with, made once by the composition root and handed on through the application's state."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, fail_after, to_thread
from fastapi import Depends, Request

from domain.errors import StorageUnavailable
from gateway.api.key_cache import KeyCache, KeyUse
from gateway.api.waiting import WaitingRoom
from storage.image_store import ImageStore
from storage.sealing import Sealing, key_of
from storage.session import Engine, read, write
from storage.settings import Settings

T = TypeVar("T")

THREADS = 16
"""Blocking calls at a time; fewer than the database's pool has connections, so that none waits for one there."""

TURN_S = 10.0
"""How long a request waits for one of them. While the database does not answer, each is held until its own limit."""
PROBES = 4
"""Probes at a time. They come without a key, and one that is given up still holds its thread for a while."""
PROBE_S = 3.0
"""How long a probe waits for its answer."""


@dataclass(frozen=True)
class Resources:
    """The database, the image store, and how to reach both without blocking the event loop."""

    settings: Settings
    engine: Engine
    store: ImageStore
    keys: KeyCache
    uses: KeyUse = field(default_factory=KeyUse)
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(THREADS))
    waiting: WaitingRoom = field(init=False)
    _uncounted: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(math.inf))
    _probes: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(PROBES))

    def __post_init__(self) -> None:
        object.__setattr__(self, "waiting", WaitingRoom(self.engine, self.threads))

    @cached_property
    def sealing(self) -> Sealing:
        """What seals originals of patient data; its key is read, or made, with the first of them."""
        key = self.settings.originals_key
        return Sealing(partial(key_of, key.get_secret_value() if key else None, self.settings.data))

    async def read(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:  # noqa: ANN401
        """Run `work(connection, ...)` in a transaction that only reads, in a thread."""
        return await self.call(partial(read, self.engine, work, *arguments, **named))

    async def write(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:  # noqa: ANN401
        """Run `work(connection, ...)` in one transaction, in a thread."""
        return await self.call(partial(write, self.engine, work, *arguments, **named))

    async def call(self, work: Callable[[], T]) -> T:
        """Run a blocking call in a thread.

        Raises StorageUnavailable when none comes free in time: a request must not wait behind others for ever.
        """
        turn = object()
        try:
            with fail_after(TURN_S):
                await self.threads.acquire_on_behalf_of(turn)
        except TimeoutError as error:
            raise StorageUnavailable(f"nothing answered {THREADS} earlier requests within {TURN_S:g} s") from error
        try:
            return await to_thread.run_sync(work, limiter=self._uncounted)
        finally:
            self.threads.release_on_behalf_of(turn)

    async def probe(self, work: Callable[[], T]) -> T:
        """Run a blocking call beside those of the requests, and give it up soon.

        Raises StorageUnavailable then.
        """
        try:
            with fail_after(PROBE_S):
                return await to_thread.run_sync(self._probing, work, limiter=self._uncounted, abandon_on_cancel=True)
        except TimeoutError as error:
            raise StorageUnavailable(f"no answer within {PROBE_S:g} s") from error

    def _probing(self, work: Callable[[], T]) -> T:
        if not self._probes.acquire(blocking=False):
            raise StorageUnavailable(f"no answer to {PROBES} earlier probes yet")
        try:
            return work()
        finally:
            self._probes.release()


def resources(request: Request) -> Resources:
    """Return the resources of the application that serves this request."""
    found: Resources = request.app.state.resources
    return found


Served = Annotated[Resources, Depends(resources)]
