"""Many callers that wait, and one look at the database for all of them."""

import asyncio
import time
from uuid import UUID, uuid4

import pytest
from anyio import CapacityLimiter
from sqlalchemy import Engine, event

from gateway.api.waiting import WaitingRoom
from tests.support.life import Life, failed


def test_two_hundred_callers_wait_with_a_handful_of_looks(engine: Engine) -> None:
    # given two hundred callers, each waiting for one of twenty jobs
    life = Life(engine)
    worker = life.worker(capacity=50)
    ids = [life.submit() for _ in range(20)]
    claimed = life.claim(worker, *ids)
    looks = 0

    def count(*_: object) -> None:
        nonlocal looks
        looks += 1

    async def scene() -> float:
        room = WaitingRoom(engine, CapacityLimiter(4))
        callers = [asyncio.create_task(room.wait(ids[at % 20], 20)) for at in range(200)]
        await asyncio.sleep(0.3)
        assert not any(caller.done() for caller in callers)
        # when the jobs end
        await asyncio.to_thread(life.commit, worker, *(failed(job) for job in claimed))
        event.listen(engine, "begin", count)
        since = time.monotonic()
        await asyncio.gather(*callers)
        return time.monotonic() - since

    # then all are told at once, by a few looks
    took = asyncio.run(scene())
    assert took < 2
    assert looks <= 5


def test_a_job_that_does_not_end_is_waited_for_no_longer_than_asked(engine: Engine) -> None:
    # given a job that waits, and one that does not exist
    life = Life(engine)

    async def scene(job_id: UUID) -> float:
        since = time.monotonic()
        await WaitingRoom(engine, CapacityLimiter(1)).wait(job_id, 0.2)
        return time.monotonic() - since

    # when somebody waits for either
    # then the wait is over in time, without an error
    for job_id in (life.submit(), uuid4()):
        assert asyncio.run(scene(job_id)) == pytest.approx(0.2, abs=0.15)
