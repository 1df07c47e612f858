"""Our Redis transport, against a real server that goes away or is full."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection, Queue

from tests.support.servers import PrivateRedis

pytestmark = pytest.mark.service

TRANSPORT = "workers.redis_transport:Transport"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    """A Redis of the test's own."""
    made = PrivateRedis(tmp_path)
    made.start()
    yield made
    made.kill()


def hearing(line: Connection, heard: list[Any], *, prefetch: int = 1) -> Any:
    consumer = line.Consumer([Queue("q")], callbacks=[lambda _body, message: heard.append(message)])
    consumer.qos(prefetch_count=prefetch)
    consumer.consume()
    return consumer


def send(line: Connection, body: str) -> None:
    line.Producer(serializer="json").publish(body, exchange="", routing_key="q")


def test_an_ack_that_fails_frees_its_place_all_the_same(server: PrivateRedis) -> None:
    # given a consumer that may have one message in hand, and has it
    heard: list[Any] = []
    with Connection(server.url, transport=TRANSPORT) as line:
        consumer = hearing(line, heard)
        send(line, "first")
        line.drain_events(timeout=5)
        assert not consumer.channel.qos.can_consume()
        # when the ack does not get through
        server.kill()
        with pytest.raises(redis.ConnectionError):
            heard[0].ack()
        # then it may have another: were the place lost, it would ask for nothing any more
        assert consumer.channel.qos.can_consume()
        server.start()


def test_a_message_that_cannot_be_noted_is_heard_all_the_same(server: PrivateRedis) -> None:
    # given a message in the list of a server that takes no more
    heard: list[Any] = []
    with Connection(server.url, transport=TRANSPORT) as line, redis.Redis(port=server.port) as client:
        hearing(line, heard)
        send(line, "a submission")
        client.config_set("maxmemory", "1")
        # when it is popped, and cannot be noted as unacked
        line.drain_events(timeout=5)
        # then it is not lost
        assert [message.payload for message in heard] == ["a submission"]
        client.config_set("maxmemory", "0")
        heard[0].ack()
