"""Messages that nobody should send: the worker stays the same process, says so, and serves on; none comes for ever."""

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis
from kombu import Connection, Producer

from storage.session import write
from storage.tenants import ensure
from tests.support.brokers import BROKERS
from tests.support.drill import QUICK, SLOW
from tests.support.invariant import invariant
from tests.support.system import System, system
from tests.support.waiting import eventually
from workers.celery_app import IDS_PER_MESSAGE, MESSAGE_VERSION, RING

pytestmark = [pytest.mark.service, pytest.mark.fault]

SERVED = "inspection.standard,inspection.interactive"
QUEUE = "inspection.standard"
JSON, PICKLE = "application/json", "application/x-python-serialize"

ENVELOPE = {"body": "e30=", "headers": {}, "properties": {"delivery_info": {}, "delivery_tag": "t"}}
NO_ENVELOPES = [
    *(b"\xff\xfe\x00", b"{", b"[]", b"7", b"null", b'"a"', b'{"body": "x"}', b'{"body": 1, "properties": 2}'),
    json.dumps({**ENVELOPE, "properties": {"delivery_tag": ["u"]}}).encode(),
    json.dumps({**ENVELOPE, "properties": {"delivery_tag": "v", "body_encoding": "none"}}).encode(),
    json.dumps({**ENVELOPE, "headers": None}).encode(),
]


@pytest.fixture(params=["redis", "rabbitmq"])
def served(request: pytest.FixtureRequest, postgresql_url: str, tmp_path: Path) -> Iterator[System]:
    """A system on each broker whose worker serves some queues only; nobody dispatches yet."""
    with BROKERS[request.param](tmp_path) as there, system(postgresql_url, there.url, tmp_path, there.prefix) as one:
        one.start("worker", "--queues", SERVED)
        yield one


@dataclass(frozen=True)
class Thrower:
    """Sends whatever it is told to, straight to the worker's queue."""

    one: System

    @property
    def queue(self) -> str:
        """The queue's name on the broker."""
        return f"{self.one.settings.queue_prefix}{QUEUE}"

    def throw(self, body: bytes, headers: dict[str, Any] | None = None, content: str = JSON, **more: Any) -> None:
        """Send bytes as a message."""
        url = self.one.settings.broker_url
        with Connection(url, transport_options={"global_keyprefix": self.one.settings.queue_prefix}) as line:
            Producer(line).publish(
                body, headers=headers, content_type=content, exchange="", routing_key=self.queue, **more
            )

    def ring(self, *arguments: Any, task: str = RING, **headers: Any) -> None:
        """Send what looks like a task of Celery."""
        body = json.dumps([arguments, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
        self.throw(body.encode(), {"task": task, "id": str(uuid4()), "lang": "py", **headers}, content_encoding="utf-8")

    def left(self) -> int:
        """Return how many messages the broker has or waits for an ack of."""
        url, prefix = self.one.settings.broker_url, self.one.settings.queue_prefix
        if url.startswith("redis"):
            with redis.Redis.from_url(url) as client:
                return int(client.llen(f"{prefix}{self.queue}")) + int(client.hlen(f"{prefix}unacked"))
        command = ["rabbitmqctl", "-q", "list_queues", "-p", urlsplit(url).path[1:], "name", "messages"]
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
        return sum(int(line.split("\t")[1]) for line in told.splitlines() if line.startswith(f"{QUEUE}\t"))


def serves_on(one: System, submitted: list[Any]) -> None:
    """Check that the process that was there from the first goes on and has let go of everything."""
    worker, thrower = one.processes[0], Thrower(one)
    submitted += one.submit(QUICK, 5)
    one.start("dispatch")
    one.wait_for_the_end(13)
    eventually(lambda: thrower.left() == 0, 20, f"no message is left\n{one.logs()}")
    assert worker.poll() is None, one.logs()
    assert one.states() == {"succeeded": len(submitted)}
    invariant(one, submitted)


def test_messages_that_cannot_be_read_or_never_end_are_let_go(served: System) -> None:
    # given a worker that serves
    thrower, task = Thrower(served), {"task": RING, "id": str(uuid4()), "lang": "py"}
    # when bytes come that are no message of Celery's, or hardly one
    for headers in ({}, task):
        thrower.throw(b"\xff\xfe\x00 no text", headers)
        thrower.throw(b"{", headers, content_encoding="utf-8")
        thrower.throw(b"7", headers)
        thrower.throw(b"null", headers)
        thrower.throw(b'{"args": 7, "kwargs": [], "id": {}, "task": 9}', headers)
        thrower.throw(b"\x80\x04N.", headers, PICKLE, content_encoding="binary")
        thrower.throw(b"a: b", headers, "application/x-yaml")
        thrower.throw(b"[]", headers, "application/nonsense", content_encoding="utf-99")
        thrower.throw(b"[[1, []], {}, {}]", {**headers, "compression": "application/x-bz2"})
    thrower.throw(b"[[1, []], {}, {}]", {"task": RING})
    thrower.throw(b"[[1, []], {}, {}]", {"task": {"a": 1}, "id": 7})
    thrower.throw(b"[[1, []], {}, {}]", {**task, "expires": "soon", "retries": "many", "timelimit": 7})
    # and more of what is no envelope of Kombu's than could be outlasted at a second each
    if served.settings.broker_url.startswith("redis"):
        with redis.Redis.from_url(served.settings.broker_url) as client:
            client.lpush(f"{served.settings.queue_prefix}{thrower.queue}", *NO_ENVELOPES * 10)
    # and more messages for the year 2099 than a worker may have in hand
    for _ in range(5):
        thrower.ring(MESSAGE_VERSION, [], eta=(datetime.now(UTC) + timedelta(days=30_000)).isoformat())
    # then it serves on
    serves_on(served, [])


def test_forged_doorbells_change_nothing(served: System) -> None:
    # given jobs of this tenant and of another, on the worker's queues and on others
    thrower = Thrower(served)
    write(served.engine, ensure, "other")
    elsewhere = served.submit(QUICK, 2, lane="bulk")
    mine = served.submit(SLOW, 2)
    # when doorbells come with arguments, versions and names that no dispatcher sends
    for arguments in ((), (MESSAGE_VERSION,), ("what", {"is": "this"}), (1, 2, 3, 4), ([],), (MESSAGE_VERSION, "x")):
        thrower.ring(*arguments)
    for version in (0, MESSAGE_VERSION + 1, "1", None, 1e300):
        thrower.ring(version, [str(mine[0])])
    thrower.ring(MESSAGE_VERSION, [str(uuid4()), "no id", None, 7, [], {}, "\x00", "9" * 10_000])
    thrower.ring(MESSAGE_VERSION, [str(uuid4()) for _ in range(5_000)])
    thrower.ring(MESSAGE_VERSION, [str(mine[1])] * 10 * IDS_PER_MESSAGE)
    thrower.ring(MESSAGE_VERSION, [str(job_id) for job_id in elsewhere])
    thrower.ring(task="sightline.unknown")
    thrower.ring(task="celery.backend_cleanup")
    # then the one that was rung for rightly has run, and what the worker does not serve has not
    eventually(lambda: served.states() == {"succeeded": 1, "queued": 3}, 10, f"{served.states()}\n{served.logs()}")
    served.start("worker", "--queues", "inspection.bulk")
    serves_on(served, mine + elsewhere)


def test_a_doorbell_dropped_after_it_left_the_list_is_rung_again(postgresql_url: str, tmp_path: Path) -> None:
    with BROKERS["redis"](tmp_path) as there, system(postgresql_url, there.url, tmp_path, there.prefix) as one:
        # given a doorbell for three jobs, which somebody takes off the list while the worker stands still
        one.start("dispatch")
        client = redis.Redis.from_url(there.url)
        worker = one.start("worker")
        worker.send_signal(signal.SIGSTOP)
        submitted = one.submit(QUICK, 3)
        name = f"{there.prefix}{there.prefix}{QUEUE}"
        taken = client.blmove(name, f"{name}-taken", 2)
        # when the worker goes on
        worker.send_signal(signal.SIGCONT)
        # then the jobs run all the same
        assert taken is not None
        one.wait_for_the_end(13)
        client.close()
        invariant(one, submitted)
