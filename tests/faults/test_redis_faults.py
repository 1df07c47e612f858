"""A Redis that is killed, emptied, stopped, full, or set so that it would lose messages."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.support.brokers import Broker, stand_in
from tests.support.drill import QUICK
from tests.support.invariant import invariant
from tests.support.outages import Producer, keep_submitting, put_under_load
from tests.support.servers import PrivateRedis
from tests.support.system import System, system
from workers.broker_policy import refuse_eviction
from workers.celery_app import make_app

pytestmark = [pytest.mark.service, pytest.mark.fault]

LEASE_S = 3.0
GRACE_S = 10.0


@contextmanager
def on_a_redis(
    url: str, folder: Path, *, durable: bool = False, **options: str
) -> Iterator[tuple[System, PrivateRedis]]:
    """A system on a Redis of its own."""
    server = PrivateRedis(folder, durable=durable, **options)
    server.start()
    try:
        with system(url, server.url, folder) as one:
            yield one, server
    finally:
        server.kill()


@pytest.mark.parametrize("durable", [False, True], ids=["forgets", "keeps"])
def test_a_redis_killed_under_load_and_started_again_loses_nothing(
    durable: bool, postgresql_url: str, tmp_path: Path, recovery
) -> None:
    with on_a_redis(postgresql_url, tmp_path, durable=durable) as (one, server):
        submitted = put_under_load(one)

        server.kill()
        submitted += keep_submitting(one, QUICK, 3, every_s=0.2)
        server.start()

        recovery(one.wait_for_the_end(LEASE_S + GRACE_S))
        assert one.states() == {"succeeded": len(submitted)}
        invariant(one, submitted)


def test_a_redis_emptied_under_load_loses_no_job(postgresql_url: str, tmp_path: Path, recovery) -> None:
    with on_a_redis(postgresql_url, tmp_path) as (one, server):
        submitted = put_under_load(one)

        with redis.Redis(port=server.port) as client:
            client.flushall()
        submitted += one.submit(QUICK, 20)

        recovery(one.wait_for_the_end(LEASE_S + GRACE_S))
        assert one.states() == {"succeeded": len(submitted)}
        invariant(one, submitted)


def test_a_redis_that_stands_still_for_a_while_is_outlasted(postgresql_url: str, tmp_path: Path, recovery) -> None:
    with on_a_redis(postgresql_url, tmp_path) as (one, server):
        submitted = put_under_load(one)
        assert server.process is not None

        server.process.send_signal(signal.SIGSTOP)
        submitted += keep_submitting(one, QUICK, 12)
        server.process.send_signal(signal.SIGCONT)

        recovery(one.wait_for_the_end(LEASE_S + GRACE_S))
        assert one.states() == {"succeeded": len(submitted)}
        invariant(one, submitted)


def test_a_redis_whose_memory_is_full_loses_no_job_and_no_submission(
    postgresql_url: str, tmp_path: Path, recovery
) -> None:
    with on_a_redis(postgresql_url, tmp_path) as (one, server), redis.Redis(port=server.port) as client:
        # given a producer whose submissions wait in the list
        intake = one.start("intake")
        producer = Producer(one, Broker(server.url))
        submitted = put_under_load(one)
        submitted += producer.wait_until_taken(producer.send(), 20)
        intake.send_signal(signal.SIGSTOP)
        # The list is asked with a time-out of a second, and what it gave meanwhile would be the intake's.
        time.sleep(1.5)
        keys = producer.send(5)

        # when Redis takes no more: nothing can be published, and what is popped cannot be noted as unacked
        client.config_set("maxmemory", "1")
        intake.send_signal(signal.SIGCONT)
        submitted += one.submit(QUICK, 20)
        time.sleep(3)
        assert one.states().get("queued", 0) > 0, "what was submitted meanwhile waits"
        client.config_set("maxmemory", "0")

        # then every submission is taken in, those too that were popped meanwhile, and all of them run
        freed = time.monotonic()
        submitted += producer.wait_until_taken(keys, GRACE_S)
        one.wait_for_the_end(LEASE_S + GRACE_S)
        recovery(time.monotonic() - freed)
        assert one.states() == {"succeeded": len(submitted)}
        invariant(one, submitted)


@pytest.mark.parametrize("limit", ["100mb", "0"])
@pytest.mark.parametrize("command", ["worker", "dispatch", "intake"])
def test_a_redis_that_evicts_or_would_is_refused_at_start(
    command: str, limit: str, sqlite_url: str, tmp_path: Path
) -> None:
    told = {"maxmemory": limit, "maxmemory-policy": "allkeys-lru"}
    with on_a_redis(sqlite_url, tmp_path, **told) as (one, _):
        with pytest.raises(AssertionError, match="ended with"):
            one.start(command)
        assert "allkeys-lru" in one.logs()
        assert "maxmemory-policy noeviction" in one.logs()


def test_a_redis_that_does_not_tell_whether_it_evicts_is_taken(tmp_path: Path, caplog) -> None:
    # given the stand-in, a server that forbids the question, and one that is away
    server = PrivateRedis(tmp_path)
    server.start()
    with stand_in(tmp_path) as there, redis.Redis(port=server.port) as client:
        client.execute_command("ACL", "SETUSER", "few", "on", ">secret", "~*", "+@all", "-info")
        for url in (there.url, server.url.replace("://", "://few:secret@"), "redis://127.0.0.1:1/0"):
            caplog.clear()
            # when it is asked, then it is not refused, and the log says so
            refuse_eviction(url)
            assert {record.event for record in caplog.records} <= {"broker.unasked", "broker.untold"}
            assert caplog.records, url
    server.kill()


def test_a_worker_that_has_gone_deaf_opens_its_ears_again(postgresql_url: str, tmp_path: Path, recovery) -> None:
    with on_a_redis(postgresql_url, tmp_path) as (one, _):
        # given a worker that serves
        one.start("dispatch")
        worker = one.start("worker")
        submitted = one.submit(QUICK, 3)
        one.wait_for_the_end(GRACE_S)
        # when it is deaf for good: somebody on the broker has told it to consume from its queues no more
        app = make_app(one.settings, [])
        for name in ("inspection.interactive", "inspection.standard", "inspection.bulk"):
            app.control.cancel_consumer(name)
        app.close()
        time.sleep(1)
        submitted += one.submit(QUICK, 3)
        # then it notices that it hears nothing of what is rung for, and starts to hear again; the process is the same
        recovery(one.wait_for_the_end(LEASE_S + GRACE_S + 5))
        assert worker.poll() is None
        assert "ear.restarting" in one.logs()
        invariant(one, submitted)
