"""The project's own client against the gateway on a socket: what users have in their hands."""

import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from domain.access import Scope
from domain.errors import (
    BacklogFull,
    Forbidden,
    ImageUnreadable,
    InvalidParameters,
    InvalidRequest,
    NotFound,
    TransitionRefused,
    Unauthenticated,
    Unavailable,
)
from domain.jobs import JobState
from gateway.client import Client
from storage import feed, tenants
from storage.session import Connection, write
from tests.gateway.sending import finish, make_key, picture

pytestmark = pytest.mark.service


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "photograph.png"
    path.write_bytes(picture())
    return path


def test_a_picture_goes_all_the_way(caller: Client, engine: Engine, photograph: Path) -> None:
    # given a picture that was handed in
    job = caller.submit("inspection", [photograph], {"part": "x"}, lane="interactive", metadata={"shift": 2})
    assert (job.state, job.lane, job.params, job.metadata) == (
        JobState.QUEUED,
        "interactive",
        {"part": "x"},
        {"shift": 2},
    )
    # when a worker answers it while the caller waits
    worker = threading.Thread(target=finish, args=(engine, str(job.id)))
    worker.start()
    ended = caller.wait(job.id, 10)
    worker.join()
    # then the result, its provenance and its picture are there
    assert (ended.state, ended.headline) == (JobState.SUCCEEDED, "REJECT: pit")
    result = caller.result(job.id)
    assert result.body["verdict"] == "REJECT"
    assert result.model_calls[0].capability == "detect"
    assert caller.overlay(job.id).startswith(b"\x89PNG")
    assert [each.id for each in caller.jobs(state="succeeded")] == [job.id]


def test_a_submission_can_wait_for_its_answer(caller: Client, engine: Engine, photograph: Path) -> None:
    # given a worker that answers whatever comes within half a second
    def work() -> None:
        until = time.monotonic() + 10
        while not caller.jobs() and time.monotonic() < until:
            time.sleep(0.05)
        finish(engine, str(caller.jobs()[0].id))

    worker = threading.Thread(target=work)
    worker.start()
    # when a caller submits and waits
    job = caller.submit("inspection", [photograph], wait_s=10)
    worker.join()
    # then the answer comes with the submission's own
    assert job.state is JobState.SUCCEEDED


def test_waiting_ends_with_a_time_out_that_says_the_state(caller: Client, photograph: Path) -> None:
    job = caller.submit("inspection", [photograph])
    with pytest.raises(TimeoutError, match="still queued"):
        caller.wait(job.id, 0.2)
    assert caller.cancel(job.id).state is JobState.CANCELLED
    assert caller.replay(job.id).state is JobState.QUEUED


def test_problems_come_back_as_typed_errors(caller: Client, engine: Engine, photograph: Path, tmp_path: Path) -> None:
    # given what the gateway refuses, each in its way
    text = tmp_path / "text.png"
    text.write_text("no picture")
    reader = Client(caller.url, make_key(engine, "acme", Scope.READ))
    job = caller.submit("inspection", [photograph])
    write(engine, tenants.configure, "acme", backlog_limit=1)
    # when it is tried
    # then each error is the domain's own
    with pytest.raises(ImageUnreadable, match=r"text\.png"):
        caller.submit("inspection", [text])
    with pytest.raises(InvalidParameters) as refusal:
        caller.submit("inspection", [photograph], {"colour": "red"})
    assert refusal.value.details["problems"][0]["field"] == "colour"
    with pytest.raises(NotFound):
        caller.job(uuid4())
    with pytest.raises(TransitionRefused):
        caller.result(job.id)
    with pytest.raises(BacklogFull) as full:
        caller.submit("inspection", [photograph])
    assert full.value.retry_after_s > 0
    with reader, pytest.raises(Forbidden):
        reader.submit("inspection", [photograph])
    with Client(caller.url, "sl_0_0") as stranger, pytest.raises(Unauthenticated):
        stranger.jobs()
    with pytest.raises(InvalidRequest, match="cannot be read"):
        caller.submit("inspection", [tmp_path / "nothing.png"])


def test_a_gateway_that_is_not_there_is_unavailable() -> None:
    with Client("http://127.0.0.1:9", "k") as client:
        with pytest.raises(Unavailable, match="sightline up"):
            client.jobs()
        with pytest.raises(Unavailable, match="sightline up"):
            next(client.events())


def number_events(engine: Engine) -> None:
    """Do the housekeeping that gives events their place."""

    def once(connection: Connection) -> None:
        feed.hold_housekeeping(connection)
        while feed.number(connection):
            pass

    write(engine, once)


def test_the_feed_tells_each_event_once_and_resumes_behind_any(
    caller: Client, engine: Engine, photograph: Path
) -> None:
    # given three jobs, of which one was cancelled
    made = [caller.submit("inspection", [photograph]) for _ in range(3)]
    caller.cancel(made[1].id)
    number_events(engine)
    # when the feed is read from its start, and again from behind its second event
    told = list(islice(caller.events(0), 4))
    rest = list(islice(caller.events(told[1].feed_id), 2))
    # then it tells all in order, and resumes without a gap or a repetition
    assert [(each.type, each.job_id) for each in told] == [
        ("job.queued", made[0].id),
        ("job.queued", made[1].id),
        ("job.queued", made[2].id),
        ("job.cancelled", made[1].id),
    ]
    assert rest == told[2:]


def test_a_follower_hears_what_happens_from_now_on_and_only_its_tenants(
    caller: Client, engine: Engine, photograph: Path
) -> None:
    # given what happened before, and another tenant
    caller.submit("inspection", [photograph])
    number_events(engine)
    other = Client(caller.url, make_key(engine, "rival", Scope.SUBMIT, Scope.READ))
    heard: list[object] = []

    def listen(events: Iterator[object]) -> None:
        heard.append(next(events))

    # when somebody follows, and both tenants submit
    follower = threading.Thread(target=listen, args=(caller.events(),))
    follower.start()
    time.sleep(0.5)  # the follower asks for its place before we go on; later would only tell it less
    with other:
        other.submit("inspection", [photograph])
    job = caller.submit("inspection", [photograph])
    number_events(engine)
    follower.join(10)
    # then the follower hears of its own new job alone
    assert [(each.type, each.job_id) for each in heard] == [("job.queued", job.id)]
