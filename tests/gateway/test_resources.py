"""Blocking calls of requests: so many at a time, and nobody waits for a turn without end."""

import threading
import time
from typing import Any

import anyio
import pytest

from domain.errors import StorageUnavailable
from gateway.api.resources import THREADS, TURN_S, Resources

PATIENCE_S = 20.0
"""What a caller may be asked to wait until it is told that it will have no turn."""


@pytest.mark.guard("gateway: a turn has a limit")
def test_who_gets_no_turn_is_told_so_in_time_and_whoever_has_one_is_answered() -> None:
    # given as many calls as there are threads, none of which ends
    nothing: Any = None
    held, told = threading.Event(), list[float]()

    async def ask() -> None:
        served = Resources(nothing, nothing, nothing, nothing)
        async with anyio.create_task_group() as group:
            for _ in range(THREADS):
                group.start_soon(served.call, held.wait)
            await anyio.wait_all_tasks_blocked()
            # when another comes, then it is told in time that there is no turn
            begun = time.monotonic()
            try:
                with anyio.fail_after(PATIENCE_S):
                    await served.call(lambda: None)
            except StorageUnavailable:
                told.append(time.monotonic() - begun)
            finally:
                held.set()
        # and once they have ended, the next one is answered
        assert await served.call(lambda: "answer") == "answer"

    anyio.run(ask)
    assert told
    assert TURN_S - 1 < told[0] < PATIENCE_S
