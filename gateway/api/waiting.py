"""Waiting for jobs to end, for any number of callers with one look at the database at a time.

A caller of `?wait=` holds an event, not a thread and not a connection: one task asks for all jobs that anybody waits
for, and sleeps between its looks. It lives as long as somebody waits.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from uuid import UUID

from anyio import CapacityLimiter, to_thread

from domain.errors import SightlineError
from storage.jobs import ended
from storage.session import Engine, read

LOOK_EVERY_S = 0.03
AT_ONCE = 500


class WaitingRoom:
    """Those who wait, by job. For one event loop."""

    def __init__(self, engine: Engine, threads: CapacityLimiter) -> None:
        self._engine = engine
        self._threads = threads
        self._waiting: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._watch: asyncio.Task[None] | None = None

    async def wait(self, job_id: UUID, timeout_s: float) -> None:
        """Return when the job has ended, or after the time-out; whoever asked looks for itself then."""
        event = asyncio.Event()
        self._waiting[job_id].add(event)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _look(self) -> None:
        while self._waiting:
            ids = list(self._waiting)
            for start in range(0, len(ids), AT_ONCE):
                for job_id in await self._ended(ids[start : start + AT_ONCE]):
                    for event in self._waiting.get(job_id, ()):
                        event.set()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _ended(self, ids: list[UUID]) -> set[UUID]:
        look: Callable[[], set[UUID]] = partial(read, self._engine, ended, ids)
        try:
            return await to_thread.run_sync(look, limiter=self._threads)
        except SightlineError:
            return set()  # the database does not answer just now; whoever waits is told so when its time is up
