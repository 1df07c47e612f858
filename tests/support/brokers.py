"""Brokers for tests: the stand-in, the local Redis under a prefix, the local RabbitMQ in a virtual host of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import redis

from tests.conftest import absent, rabbitmqctl
from workers.supervisor import free_port

REDIS = os.environ.get("SIGHTLINE_TEST_REDIS", "redis://127.0.0.1:6379/0")
RABBITMQ = os.environ.get("SIGHTLINE_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672")


@dataclass(frozen=True)
class Broker:
    """Where a broker is, and what goes before every queue name there."""

    url: str
    prefix: str = ""


def wait_for_port(port: int, within_s: float = 20.0) -> None:
    """Wait until somebody listens on a port of the loopback."""
    begun = time.monotonic()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() - begun > within_s:
                raise
            time.sleep(0.05)


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
        absent("Redis", error)
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


class PrivateRedis:
    """A redis-server of its own, which a test may kill and start again, empty."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            absent("redis-server", "it is not installed")
        self._binary, self._folder, self.port = str(binary), folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with nothing in it."""
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen([self._binary, *arguments], stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def kill(self) -> None:
        """Kill it with all it holds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


BROKERS = {"embedded": stand_in, "redis": local_redis, "rabbitmq": local_rabbitmq}
