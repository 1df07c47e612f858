"""Doorbells that are lost, repeated, late, forged or unreadable: the database is the truth."""

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from storage.session import read
from storage.tables import jobs
from tests.support.drill import QUICK, SLOW
from tests.support.invariant import invariant
from tests.support.servers import PrivateRedis
from tests.support.system import System, system
from tests.support.waiting import eventually
from workers.celery_app import MESSAGE_VERSION, RING, all_queue_names, make_app

pytestmark = [pytest.mark.service, pytest.mark.fault]

STANDARD = "inspection.standard"


def ring(one: System, *arguments: object, times: int = 1, task: str = RING) -> None:
    """Send a doorbell past the dispatcher."""
    app = make_app(one.settings, all_queue_names())
    for _ in range(times):
        app.send_task(task, args=list(arguments), queue=f"{one.settings.queue_prefix}{STANDARD}")
    app.close()


def test_one_doorbell_delivered_a_hundred_times_to_two_workers_runs_each_job_once(one: System) -> None:
    one.start("worker")
    one.start("worker")
    submitted = one.submit(SLOW, 4)

    ring(one, MESSAGE_VERSION, [str(job_id) for job_id in submitted], times=100)

    one.wait_for_the_end(15)
    tokens = read(one.engine, lambda connection: list(connection.execute(select(jobs.c.token)).scalars()))
    assert tokens == [1, 1, 1, 1], "each was claimed once"
    one.start("dispatch")  # it numbers the events
    invariant(one, submitted)


def test_forged_unknown_and_unreadable_doorbells_change_nothing(one: System) -> None:
    one.start("worker")
    ring(one, MESSAGE_VERSION, [str(uuid4()), "no id", None, 7])
    ring(one, MESSAGE_VERSION + 1, [str(uuid4())])
    ring(one, "what", {"is": "this"})
    ring(one, task="sightline.unknown")

    submitted = one.submit(QUICK, 5)
    one.start("dispatch")

    one.wait_for_the_end(10)
    assert one.states() == {"succeeded": 5}
    invariant(one, submitted)


def test_a_broker_that_comes_back_empty_is_rung_again(postgresql_url: str, tmp_path: Path) -> None:
    broker = PrivateRedis(tmp_path)
    broker.start()
    try:
        with system(postgresql_url, broker.url, tmp_path) as one:
            one.start("dispatch")
            submitted = one.submit(QUICK, 50)  # nobody serves yet, so nothing is rung
            one.start("worker")
            submitted += one.submit(SLOW, 40)
            eventually(lambda: one.states().get("running", 0) > 0, 10, "work is under way")

            broker.kill()
            submitted += one.submit(QUICK, 20)
            broker.start()

            one.wait_for_the_end(30)
            assert one.states() == {"succeeded": 110}
            invariant(one, submitted)
    finally:
        broker.kill()
