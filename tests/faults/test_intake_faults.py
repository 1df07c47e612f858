"""A Celery producer's submissions, while the intake or what it needs is taken away."""

import signal
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from storage.session import write
from storage.tenants import configure, ensure
from tests.support.brokers import BROKERS
from tests.support.invariant import invariant
from tests.support.outages import Producer
from tests.support.proxy import Proxy
from tests.support.scale import only_in_full
from tests.support.system import TENANT, system
from workers.celery_app import make_app

pytestmark = [pytest.mark.service, pytest.mark.fault]

LEASE_S = 3.0
GRACE_S = 10.0


@pytest.mark.parametrize("broker", ["redis", pytest.param("rabbitmq", marks=only_in_full)])
def test_an_intake_killed_while_the_database_is_away_loses_no_submission(
    broker: str, postgresql_url: str, tmp_path: Path, recovery
) -> None:
    port = urlsplit(postgresql_url).port
    assert port is not None
    proxy = Proxy(port)
    with BROKERS[broker](tmp_path) as there, system(postgresql_url, there.url, tmp_path, there.prefix) as one:
        # given an intake that takes in
        through = postgresql_url.replace(f":{port}", f":{proxy.port}")
        intake = one.start("intake", SIGHTLINE_DATABASE_URL=through)
        producer = Producer(one, there)
        submitted = producer.wait_until_taken(producer.send(), 20)
        # when its database is away, so that it holds what it popped, and it is killed
        proxy.refuse()
        keys = producer.send(4)
        time.sleep(2)
        assert producer.taken(keys) == []
        intake.send_signal(signal.SIGKILL)
        intake.wait(10)
        proxy.heal()
        # then its successor takes in every one of them, once; on Redis after twice the re-ring time, and a look
        begun = time.monotonic()
        one.start("intake")
        submitted += producer.wait_until_taken(keys, GRACE_S + 2 * one.settings.rering_seconds)
        recovery(time.monotonic() - begun)
        one.start("dispatch")
        one.start("worker")
        one.wait_for_the_end(GRACE_S)
        invariant(one, submitted)
    proxy.close()


def test_an_intake_that_was_told_to_stop_goes_on_to_consume_its_tenants(postgresql_url: str, tmp_path: Path) -> None:
    with BROKERS["redis"](tmp_path) as there, system(postgresql_url, there.url, tmp_path, there.prefix) as one:
        # given an intake that has told its node of a tenant
        intake = one.start("intake")
        producer = Producer(one, there)
        submitted = producer.wait_until_taken(producer.send(), 20)
        # when somebody on the broker tells every node to consume that queue no more, and later to shut down
        app = make_app(one.settings, [])
        for tell in (partial(app.control.cancel_consumer, f"{there.prefix}intake.{TENANT}"), app.control.shutdown):
            tell()
            time.sleep(1)
            # then the tenant's queue is consumed as before
            submitted += producer.wait_until_taken(producer.send(), GRACE_S)
        app.close()
        assert intake.poll() is None
        one.start("dispatch")
        one.start("worker")
        one.wait_for_the_end(GRACE_S)
        invariant(one, submitted)


def test_an_envelope_that_names_another_tenants_queue_submits_in_nobody_elses_name(
    postgresql_url: str, tmp_path: Path
) -> None:
    with BROKERS["redis"](tmp_path) as there, system(postgresql_url, there.url, tmp_path, there.prefix) as one:
        # given two tenants, and a message to the first whose envelope says that it went to the second
        write(one.engine, ensure, "globex")
        write(one.engine, configure, "globex", intake_enabled=True)
        producer = Producer(one, there)
        keys = producer.send()
        with Redis.from_url(there.url) as client:
            (lane,) = client.keys(f"{there.prefix}*intake.{TENANT}")
            envelope = client.lpop(lane)
            client.rpush(lane, envelope.replace(f"intake.{TENANT}".encode(), b"intake.globex"))
        # when the intake takes it in
        one.start("intake")
        # then it is a job of the first
        submitted = producer.wait_until_taken(keys, 20)
        one.start("dispatch")
        one.start("worker")
        one.wait_for_the_end(GRACE_S)
        invariant(one, submitted)
