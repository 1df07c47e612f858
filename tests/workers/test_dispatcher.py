"""What the dispatcher takes for a broker that is not there."""

import logging
import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest

from domain.errors import StorageUnavailable
from storage.session import connect
from storage.settings import Settings
from tests.support.brokers import RABBITMQ, local_rabbitmq
from workers import dispatcher
from workers.celery_app import BROKER_ERRORS, MESSAGE_VERSION, RING, make_app
from workers.dispatcher import Chore, _until

NOBODY = "127.0.0.1:1"


def ring(broker_url: str, folder: Path) -> None:
    settings = Settings(data=folder, broker_url=broker_url)
    app = make_app(settings, ["inspection.standard"])
    try:
        app.send_task(RING, args=[MESSAGE_VERSION, []], queue="inspection.standard", ignore_result=True)
    finally:
        app.close()


@pytest.mark.service
@pytest.mark.parametrize("url", [f"redis://{NOBODY}/0", f"amqp://guest:guest@{NOBODY}//"])
def test_a_broker_that_nobody_runs_is_one_of_the_expected_errors(url: str, tmp_path: Path) -> None:
    with pytest.raises(BROKER_ERRORS):
        ring(url, tmp_path)


@pytest.mark.service
def test_a_rabbitmq_that_refuses_is_one_of_the_expected_errors(tmp_path: Path) -> None:
    # given a RabbitMQ that answers
    with local_rabbitmq(tmp_path) as there:
        ring(there.url, tmp_path)
    # when its virtual host is gone, or the password is wrong
    for refused in (f"{RABBITMQ}/gone-{uuid4().hex[:8]}", RABBITMQ.replace("guest:guest", "guest:wrong") + "//"):
        # then the dispatcher goes on reaping and tries again, since it expects the error
        with pytest.raises(BROKER_ERRORS):
            ring(refused, tmp_path)


@pytest.mark.parametrize("failure", [StorageUnavailable("statement timeout"), ValueError("a row of another version")])
def test_a_chore_that_always_fails_keeps_none_from_its_turn(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given a chore that fails every time, in a way foreseen or not, with another behind it
    monkeypatch.setattr(dispatcher, "PAUSE_S", 0.0)
    closing, turns = threading.Event(), []

    def fail() -> None:
        raise failure

    chores = [Chore(0.0, fail), Chore(0.0, lambda: turns.append("reaped"))]
    # when turns are taken
    with caplog.at_level(logging.WARNING):
        _until(closing, chores, closing.set)
    # then the other has its turn, and so has the rest, and the failure was told
    assert turns == ["reaped"]
    assert closing.is_set()
    assert len(caplog.records) == 1


def test_a_sweep_that_waits_for_its_store_holds_up_neither_house_nor_bell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an image store that answers nothing for as long as the test lasts
    settings = Settings(data=tmp_path)
    engine = connect(settings.database_url)
    closing, begun, may_end, reaped = threading.Event(), threading.Event(), threading.Event(), []

    def hang(*_: object) -> None:
        begun.set()
        may_end.wait(20)

    monkeypatch.setattr(dispatcher, "sweep", hang)
    for name in ("keep_house", "end_what_cannot_run"):
        monkeypatch.setattr(dispatcher, name, lambda _engine: None)
    monkeypatch.setattr(dispatcher.ClockWatch, "look", lambda _self: None)
    monkeypatch.setattr(dispatcher, "reap", lambda _engine: reaped.append(begun.is_set()))
    monkeypatch.setattr(dispatcher, "REAP_S", 0.01)
    monkeypatch.setattr(dispatcher, "HOUSE_S", 0.01)
    monkeypatch.setattr(dispatcher, "_ring_until", lambda *_: closing.wait(20))
    # when the dispatcher has served for a while
    serving = threading.Thread(target=dispatcher._dispatch_until, args=(closing, settings, engine))
    serving.start()
    assert begun.wait(10)
    until = time.monotonic() + 10
    while reaped.count(True) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    closing.set()
    may_end.set()
    serving.join(10)
    engine.dispose()
    # then leases went on lapsing during the sweep
    assert reaped.count(True) >= 3
