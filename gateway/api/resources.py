"""What the endpoints work with, made once by the composition root and handed on through the application's state."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from gateway.api.key_cache import KeyCache
from gateway.api.waiting import WaitingRoom
from storage.image_store import ImageStore
from storage.session import Engine, read, write
from storage.settings import Settings

T = TypeVar("T")

THREADS = 16
"""Blocking calls at a time; fewer than the database's pool has connections, so that none waits for one there."""


@dataclass(frozen=True)
class Resources:
    """The database, the image store, and how to reach both without blocking the event loop."""

    settings: Settings
    engine: Engine
    store: ImageStore
    keys: KeyCache
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(THREADS))
    waiting: WaitingRoom = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "waiting", WaitingRoom(self.engine, self.threads))

    async def read(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:  # noqa: ANN401
        """Run `work(connection, ...)` in a transaction that only reads, in a thread."""
        return await self.call(partial(read, self.engine, work, *arguments, **named))

    async def write(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:  # noqa: ANN401
        """Run `work(connection, ...)` in one transaction, in a thread."""
        return await self.call(partial(write, self.engine, work, *arguments, **named))

    async def call(self, work: Callable[[], T]) -> T:
        """Run a blocking call in a thread."""
        return await to_thread.run_sync(work, limiter=self.threads)


def resources(request: Request) -> Resources:
    """Return the resources of the application that serves this request."""
    found: Resources = request.app.state.resources
    return found


Served = Annotated[Resources, Depends(resources)]
