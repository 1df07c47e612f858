"""Brokers for tests: the stand-in, the local Redis under a prefix, the local RabbitMQ in a virtual host of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import redis

from tests.conftest import rabbitmqctl
from tests.support.absent import absent
from tests.support.waiting import wait_for_port
from workers.supervisor import free_port

REDIS = os.environ.get("SIGHTLINE_TEST_REDIS", "redis://127.0.0.1:6379/0")
RABBITMQ = os.environ.get("SIGHTLINE_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672")


@dataclass(frozen=True)
class Broker:
    """Where a broker is, and what goes before every queue name there."""

    url: str
    prefix: str = ""


@contextmanager
def stand_in(folder: Path) -> Iterator[Broker]:
    """The in-process stand-in, as a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "sightline", "broker", "--stand-in", "--port", str(port), "--data", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield Broker(f"redis://127.0.0.1:{port}/0")
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def local_redis(_folder: Path) -> Iterator[Broker]:
    """The Redis at the default address, under a prefix that is cleaned afterwards."""
    prefix = f"test-{uuid4().hex[:8]}-"
    client = redis.Redis.from_url(REDIS, socket_connect_timeout=2)
    try:
        client.ping()
    except redis.ConnectionError as error:
        absent(f"Redis does not answer: {error}")
    yield Broker(REDIS, prefix)
    for key in client.scan_iter(f"{prefix}*", count=1000):
        client.delete(key)
    client.close()


@contextmanager
def local_rabbitmq(_folder: Path) -> Iterator[Broker]:
    """A virtual host of its own on the RabbitMQ at the default address."""
    name = f"sightline-{uuid4().hex[:8]}"
    rabbitmqctl("add_vhost", name)
    try:
        rabbitmqctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        yield Broker(f"{RABBITMQ}/{name}")
    finally:
        rabbitmqctl("delete_vhost", name)


BROKERS = {"embedded": stand_in, "redis": local_redis, "rabbitmq": local_rabbitmq}
