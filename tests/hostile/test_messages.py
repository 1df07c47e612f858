"""Hostile messages to the intake, as bytes on the broker: each is stored as a rejection or let go with a log line.

The intake stays the same process, holds no more memory than before, and takes the good submission that follows.
"""

import bz2
import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from kombu import Connection, Exchange, Producer
from sqlalchemy import select

from domain.access import Scope
from storage import keys
from storage.jobs import latest
from storage.session import read, write
from storage.tables import events, jobs
from storage.tenants import configure
from tests.conftest import PAIRS
from tests.support.backlog import stored_picture
from tests.support.brokers import BROKERS
from tests.support.drill import QUICK
from tests.support.system import TENANT, System, system
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

MORE_MB = 100
"""How much more the intake may hold afterwards; a bomb that went off is ten times that."""


@pytest.fixture(params=PAIRS[1:], ids=["-".join(pair) for pair in PAIRS[1:]])
def one(request: pytest.FixtureRequest, tmp_path) -> Iterator[System]:
    """A system on PostgreSQL with each broker that producers may reach."""
    database, broker = request.param
    url = request.getfixturevalue(f"{database}_url")
    with BROKERS[broker](tmp_path) as there, system(url, there.url, tmp_path, there.prefix) as made:
        yield made


class Upstream:
    """A producer that knows the queue, and writes on it what it likes."""

    def __init__(self, one: System) -> None:
        settings = one.settings
        redis = not settings.broker_url.startswith("amqp")
        self.queue = f"{settings.queue_prefix}intake.{TENANT}"
        self._connection = Connection(
            settings.broker_url,
            transport_options={"global_keyprefix": settings.queue_prefix} if redis else {"confirm_publish": True},
        )
        exchange = Exchange(f"{settings.queue_prefix}sightline", type="direct", durable=True)
        # On RabbitMQ it is not there before an intake has consumed a queue.
        self._producer = Producer(self._connection, exchange=exchange, auto_declare=not redis)

    def raw(self, body: bytes | str, kind: str = "application/json", **headers: Any) -> None:
        """Send these very bytes."""
        told = {"task": "sightline.submit", "id": str(uuid4()), "lang": "py", **headers}
        compression = told.pop("compression", None)
        if compression:
            told["compression"] = compression
        self._producer.publish(
            body, routing_key=self.queue, content_type=kind, content_encoding="utf-8", headers=told, retry=False
        )

    def send(self, arguments: object, fields: object, **headers: Any) -> None:
        """Send what Celery's protocol frames: arguments, fields and embedded tasks."""
        self.raw(json.dumps([arguments, fields, {}]), **headers)

    def close(self) -> None:
        """Close the connection."""
        self._connection.release()


@pytest.fixture
def upstream(one: System) -> Iterator[Upstream]:
    """A producer."""
    made = Upstream(one)
    yield made
    made.close()


def rejections(one: System) -> list[dict[str, Any]]:
    query = select(events.c.body).where(events.c.type == "intake.rejected").order_by(events.c.id)
    return read(one.engine, lambda connection: list(connection.execute(query).scalars()))


def rss_mb(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * 4096 / 1e6


def owned(one: System, tenant: str) -> str:
    """Return the hash of a picture that a tenant owns."""
    return stored_picture(one, tenant, QUICK, 7 if tenant == TENANT else 8)


def nested(depth: int) -> Any:
    told: Any = 1
    for _ in range(depth):
        told = [told]
    return told


def rejected(good: dict[str, Any], theirs: str) -> Iterator[dict[str, Any]]:
    """Yield submissions that are read, found wanting and said to be."""
    yield {}
    yield {"application": "inspection"}
    for key in (None, 5, "", "x" * 201, "a b", "\0", "a\0", "\ud800", "é", [], {"a": 1}, nested(200)):
        yield {**good, "idempotency_key": key}
    for field in ("application", "lane", "supersede_key", "deadline", "not_before", "images", "params", "metadata"):
        for value in ("\0", "\ud800", "x" * 5_000, -1, 1e400, float("nan"), True, nested(200), {"\0": "\ud800"}):
            if value == -1 and field in {"deadline", "not_before"}:
                continue  # a second before 1970 is a moment
            yield {**good, "idempotency_key": f"{field}-1", field: value}
    yield {**good, "idempotency_key": "theirs", "images": [theirs]}
    yield {**good, "idempotency_key": "path", "images": ["../../etc/passwd"]}
    yield {**good, "idempotency_key": "moment", "deadline": "0001-01-01T00:00:00+23:59"}
    yield {**good, "idempotency_key": "giant", "metadata": {"a": "x" * 5_000_000}}
    yield {**good, "idempotency_key": "many", **{f"x{at}": 1 for at in range(50_000)}}
    yield {**good, "idempotency_key": "surrogate", "\ud800": 1, "\0": 2}
    yield {**good, "idempotency_key": "tenant", "tenant": "stranger"}
    # Names that Celery's own call would trip over.
    yield {**good, "idempotency_key": "names", "self": 1, "task": 2, "args": 3, "kwargs": 4, "message": 5}


def let_go(good: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield messages that are no submission at all: the arguments of `Upstream.raw`."""
    framed = json.dumps([[], {**good, "idempotency_key": "let-go"}, {}])
    bomb = bz2.compress(bytes(1_000_000_000))  # some 700 bytes
    yield {"body": b"\xff\xfe\x00"}
    yield {"body": ""}
    yield {"body": "{"}
    yield {"body": "null"}
    yield {"body": "[" * 100_000}
    yield {"body": '{"a":' * 100_000}
    yield {"body": "[1]"}
    yield {"body": "[1, 2, 3]"}
    yield {"body": "[[], {}, [], []]"}
    yield {"body": "9" * 10_000}
    yield {"body": framed.replace('"let-go"', "NaN" * 3)}
    yield {"body": framed, "task": "no.such.task"}
    yield {"body": framed, "task": "sightline.ring"}
    yield {"body": framed, "task": "celery.backend_cleanup"}
    yield {"body": json.dumps([["sightline.submit", [[1]]], {}, {}]), "task": "celery.starmap"}
    yield {"body": framed, "task": 5}
    yield {"body": framed, "kind": "application/x-python-serialize"}
    yield {"body": framed, "kind": "application/x-yaml"}
    yield {"body": framed, "kind": "no/such\0type"}
    yield {"body": bomb, "compression": "application/x-bz2"}
    yield {"body": bomb, "compression": "no such"}
    yield {"body": framed, "expires": "2001-01-01T00:00:00"}
    # A good submission with a time that is none may be taken: it is one all the same.
    timed = framed.replace("let-go", "timed")
    yield {"body": timed, "eta": "yesterday"}
    yield {"body": timed, "expires": [[]]}


@pytest.mark.timeout(170)
def test_no_message_ends_the_intake_or_passes_for_another_tenants(one: System, upstream: Upstream) -> None:
    # given an intake that serves two tenants, each with a picture of its own
    mine, theirs = owned(one, TENANT), owned(one, "stranger")
    for tenant in (TENANT, "stranger"):
        write(one.engine, configure, tenant, intake_enabled=True)
        write(one.engine, keys.create, tenant, "key", Scope)
    good = {"application": "inspection", "images": [mine]}
    intake = one.start("intake")
    taken(one, upstream, good, "first")
    before = rss_mb(intake.pid)

    # when it is sent everything that can be wrong with a submission
    wrong = list(rejected(good, theirs))
    for fields in wrong:
        upstream.send([], fields)
    for positional in ([None], [[]], ["x"], [5], [nested(200)], [{"application": "x"}], [1, 2, 3]):
        wrong.append({})
        upstream.send(positional, {})

    # then each is rejected in words that can be stored
    eventually(lambda: len(rejections(one)) >= len(wrong), 60, f"{len(wrong)} rejections\n{one.logs()}")
    told = rejections(one)
    assert len(told) == len(wrong)
    assert {body["code"] for body in told} <= {
        "invalid_request",
        "invalid_parameters",
        "unknown_application",
        "not_found",
    }
    assert all(len(json.dumps(body)) < 10_000 for body in told)

    # and when it is sent what is no submission
    for message in let_go(good):
        upstream.raw(**message)
    # then all of it is let go, and a good submission behind it is taken, by the same process in the same memory
    taken(one, upstream, good, "last")
    eventually(lambda: rss_mb(intake.pid) < before + MORE_MB, 10, "its memory is back to where it was")
    assert intake.poll() is None, one.logs()
    kept = read(one.engine, lambda connection: list(connection.execute(select(jobs.c.tenant, jobs.c.idempotency_key))))
    assert {row.tenant for row in kept} == {TENANT}
    assert {row.idempotency_key for row in kept} <= {"first", "last", "timed"}


def taken(one: System, upstream: Upstream, good: dict[str, Any], key: str) -> None:
    """Send a good submission, again and again: RabbitMQ drops what comes before an intake has made the queue."""

    def is_kept() -> bool:
        upstream.send([], {**good, "idempotency_key": key})
        time.sleep(0.3)
        return bool(read(one.engine, latest, TENANT, idempotency_key=key))

    eventually(is_kept, 60, f"{key} is taken\n{one.logs()}")


def test_celerys_own_client_cannot_send_compressed(one: System, upstream: Upstream) -> None:
    # given a producer that has compression on, as Celery's setting allows
    mine = owned(one, TENANT)
    write(one.engine, configure, TENANT, intake_enabled=True)
    one.start("intake")
    good = {"application": "inspection", "images": [mine]}
    taken(one, upstream, good, "plain")
    app = Celery("mes", broker=one.settings.broker_url, set_as_current=False)
    if not one.settings.broker_url.startswith("amqp"):
        app.conf.broker_transport_options = {"global_keyprefix": one.settings.queue_prefix}
    # when it sends
    exchange = Exchange(f"{one.settings.queue_prefix}sightline", type="direct", no_declare=True)
    with app.connection_for_write() as connection:
        producer = app.amqp.Producer(connection, auto_declare=False)
        app.send_task(
            "sightline.submit",
            kwargs={**good, "idempotency_key": "compressed"},
            producer=producer,
            exchange=exchange.name,
            exchange_type="direct",
            routing_key=upstream.queue,
            compression="zlib",
        )
    app.close()
    # then it is let go with a log line that says why, and what follows is taken
    taken(one, upstream, good, "after")
    assert read(one.engine, latest, TENANT, idempotency_key="compressed") == []
    assert "no compressed message is taken" in one.logs()
