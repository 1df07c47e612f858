"""The intake's task: whose message it is, and what it does while the database does not answer."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Reject

from domain.errors import StorageUnavailable
from migrations import upgrade
from storage.session import connect
from storage.settings import Settings
from workers import intake
from workers.celery_app import SUBMIT
from workers.celery_process import Ear
from workers.intake import define_submit


class Door:
    """The intake's task with a database that answers as a test lets it."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.failures = 0.0
        self.taken: list[dict[str, Any]] = []
        app = Celery("test", set_as_current=False)
        define_submit(app, Settings(data=Path("unused"), queue_prefix="x-"), self.take, self.closing)
        self.task = app.tasks[SUBMIT]
        self.task.push_request(delivery_info={"routing_key": "x-intake.acme"})

    def take(self, **told: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("gone")
        self.taken.append(told)


@pytest.fixture(scope="module")
def only_door() -> Door:
    """The one of this process: Celery shares a task of one name among all apps."""
    return Door()


@pytest.fixture
def door(only_door: Door) -> Door:
    """A door as it is at first."""
    only_door.closing.clear()
    only_door.failures = 0.0
    only_door.taken.clear()
    return only_door


def test_the_queue_tells_whose_submission_it_is(door: Door) -> None:
    # given a message that names a tenant itself
    # when it comes on another's queue
    door.task.run(application="inspection", tenant="other")
    # then the queue's tenant has sent it
    assert door.taken == [{"tenant": "acme", "message": {"application": "inspection", "tenant": "other"}}]


def test_a_submission_waits_until_the_database_answers(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a database that does not answer twice
    monkeypatch.setattr(intake, "RETRY_S", 0.01)
    door.failures = 2
    # when a message comes
    door.task.run(application="inspection")
    # then it is taken in the end, once
    assert len(door.taken) == 1


def test_a_submission_that_waits_goes_back_to_the_broker_when_the_process_leaves(door: Door) -> None:
    # given a database that does not answer
    door.failures = float("inf")
    threading.Timer(0.05, door.closing.set).start()
    begun = time.monotonic()
    # when the process is told to leave while a message waits
    with pytest.raises(Reject) as back:
        door.task.run(application="inspection")
    # then the message is not lost, and does not hold the process
    assert back.value.requeue
    assert time.monotonic() - begun < 1.0


def test_an_answer_that_makes_no_sense_ends_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a node of which somebody else on the broker tells nonsense, twice
    closing = threading.Event()
    asked: list[None] = []

    class Asked:
        def active_queues(self) -> Any:
            asked.append(None)
            if len(asked) == 3:
                closing.set()
            return {"another": 1} if len(asked) < 3 else None

    app = Celery("test", set_as_current=False)
    monkeypatch.setattr(intake, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(app.control, "inspect", lambda **_: Asked())
    engine = connect(f"sqlite:///{tmp_path / 'sightline.db'}")
    upgrade(engine)
    settings = Settings(data=tmp_path)
    # when the intake follows its tenants
    intake._follow_tenants(app, settings, engine, Ear(app, [], "intake-0"), closing)
    # then it asks again
    assert len(asked) == 3
