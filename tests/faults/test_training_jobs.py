"""Trainings as jobs, in a process of their own: killed, told to leave, cancelled. What learns is a toy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import Image
from sqlalchemy import select

from domain.requests import JobRequest
from storage.jobs import cancel
from storage.session import read, write
from storage.submit import submit
from storage.tables import events, jobs, results
from tests.support.pairings import EMBEDDED, on
from tests.support.system import ROOT, TENANT, System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault, pytest.mark.model, pytest.mark.timeout(400)]

SECONDS = 12.0
START_S = 150.0
"""torch is imported by the first training of a process."""


@pytest.fixture
def training(one: System) -> UUID:
    """A training of some seconds that is queued, in an installation that has its set."""
    folder = one.settings.data / "datasets" / "cats"
    folder.mkdir(parents=True)
    told = [{"image": f"{at}.png", "label": "ab"[at % 2]} for at in range(12)]
    for line in told:
        Image.new("RGB", (2, 2)).save(folder / line["image"])
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, told)))
    # torch keeps the interpreter's lock while it is imported: on a busy machine for longer than the drills' lease.
    one.extra["SIGHTLINE_LEASE_SECONDS"] = "60"
    one.extra["PYTHONPATH"] = f"{ROOT}:{Path(__file__).parents[1] / 'support' / 'learners'}"
    params = {"family": "line", "dataset": "cats", "name": "liner", "minutes": SECONDS / 60, "held_out": 0}
    request = JobRequest.model_validate({"application": "training", "params": params, "lane": "bulk"})
    return write(one.engine, submit, TENANT, request, backlog_limit=10).job_id


def rounds(one: System) -> list[dict[str, Any]]:
    """Return what was told of the rounds, in order."""
    told = select(events.c.body).where(events.c.type == "job.progress").order_by(events.c.id)
    return read(one.engine, lambda connection: list(connection.execute(told).scalars()))


def result(one: System, job: UUID) -> dict[str, Any]:
    wanted = select(results.c.body).where(results.c.job_id == job)
    return read(one.engine, lambda connection: connection.execute(wanted).scalar_one())


def state(one: System, job: UUID) -> tuple[str, int]:
    wanted = select(jobs.c.state, jobs.c.attempts).where(jobs.c.id == job)
    return read(one.engine, lambda connection: tuple(connection.execute(wanted).one()))  # type: ignore[arg-type]


@on(EMBEDDED)
def test_a_training_whose_process_was_killed_goes_on_from_its_last_checkpoint(
    one: System, training: UUID, recovery: Callable[[float], None]
) -> None:
    one.start("dispatch")
    trainer = one.start("worker", "--queues", "training")
    eventually(lambda: len(rounds(one)) >= 2, START_S, "two rounds are told of")

    trainer.kill()
    trainer.wait()
    one.start("worker", "--queues", "training")

    recovery(one.wait_for_the_end(START_S + SECONDS))
    assert state(one, training) == ("succeeded", 0), one.logs()
    told, outcome = rounds(one), result(one, training)
    seconds = [each["seconds"] for each in told]
    assert seconds == sorted(seconds), "it began anew"
    assert len(told) == outcome["rounds"], "a round was learnt twice"
    assert outcome["revision"].startswith("sha256:")
    assert not list((one.settings.data / "training").glob("*/checkpoint.pt"))


@on(EMBEDDED)
def test_a_training_that_is_cancelled_ends_at_its_next_step_and_a_leaving_process_hands_it_back(
    one: System, training: UUID
) -> None:
    one.start("dispatch")
    leaving = one.start("worker", "--queues", "training")
    eventually(lambda: len(rounds(one)) >= 1, START_S, "a round is told of")

    leaving.terminate()
    leaving.wait(one.settings.drain_seconds + 15)
    assert state(one, training) == ("queued", 0), one.logs()
    one.start("worker", "--queues", "training")
    eventually(lambda: state(one, training)[0] == "running", 30, "another process claims it")
    write(one.engine, cancel, TENANT, training)

    one.wait_for_the_end(START_S)
    assert state(one, training)[0] == "cancelled", one.logs()
    assert (one.settings.data / "training" / str(training) / "checkpoint.pt").exists()
