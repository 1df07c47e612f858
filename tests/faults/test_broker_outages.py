"""A broker that cannot be reached for a while, under load: everybody recovers without help."""

import time
from pathlib import Path

import pytest

from tests.support.drill import QUICK, SLOW
from tests.support.invariant import invariant
from tests.support.outages import Producer, a_line_to, ended, keep_submitting, put_under_load
from tests.support.scale import FULL, only_in_full
from tests.support.system import system
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

LEASE_S = 3.0
GRACE_S = 10.0
ALL = [(broker, kind, s) for broker in ("redis", "rabbitmq") for kind in ("cut", "refuse") for s in (2, 12, 40)]
EACH = [
    ("redis", "cut", 40),
    ("redis", "refuse", 2),
    ("rabbitmq", "cut", 2),
    ("rabbitmq", "refuse", 2),
]
"""Each broker and kind once in the default run; one of them lasts long."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("broker", "kind", "seconds"), ALL if FULL else EACH)
def test_everybody_recovers_when_the_broker_can_be_reached_again(
    broker: str, kind: str, seconds: float, postgresql_url: str, tmp_path: Path, recovery
) -> None:
    with (
        a_line_to(broker, tmp_path) as line,
        system(postgresql_url, line.through.url, tmp_path, line.through.prefix) as one,
    ):
        # given jobs that wait, that are rung for, and that run, and a producer whose submissions are taken in
        one.start("dispatch")
        one.start("intake")
        producer = Producer(one, line.straight)
        submitted = producer.wait_until_taken(producer.send(), 20)
        one.start("worker")
        submitted += one.submit(SLOW, 60)
        eventually(lambda: ended(one) > 8, 15, "work is under way")

        # when the broker cannot be reached, while more is submitted
        line.fail(kind)
        submitted += keep_submitting(one, QUICK, seconds)
        keys = producer.send(3)
        line.proxy.heal()

        # then all is worked off, and nobody has stayed deaf
        healed = time.monotonic()
        submitted += producer.wait_until_taken(keys, LEASE_S + GRACE_S)
        one.wait_for_the_end(LEASE_S + GRACE_S)
        recovery(time.monotonic() - healed)
        submitted += producer.wait_until_taken(producer.send(), GRACE_S)
        one.wait_for_the_end(GRACE_S)
        assert one.states() == {"succeeded": len(submitted)}
        invariant(one, submitted)


@only_in_full
@pytest.mark.parametrize(("broker", "within_s"), [("redis", 20.0), ("rabbitmq", 40.0)])
def test_connections_that_a_firewall_forgot_are_given_up(
    broker: str, within_s: float, postgresql_url: str, tmp_path: Path, recovery
) -> None:
    with (
        a_line_to(broker, tmp_path) as line,
        system(postgresql_url, line.through.url, tmp_path, line.through.prefix) as one,
    ):
        # given everybody at work
        one.start("intake")
        producer = Producer(one, line.straight)
        submitted = producer.wait_until_taken(producer.send(), 20)
        submitted += put_under_load(one)

        # when every connection goes silent for good, while new ones work
        line.proxy.strand()
        stranded = time.monotonic()
        # What Redis gives to a list asked for on such a connection, within the second that it is asked for, is gone.
        time.sleep(2)
        keys = producer.send(3)
        submitted += one.submit(QUICK, 3)

        # then they are missed: on Redis a list that does not answer (11 s), on RabbitMQ two heartbeats (10 s each)
        submitted += producer.wait_until_taken(keys, within_s)
        one.wait_for_the_end(within_s)
        recovery(time.monotonic() - stranded)
        assert one.states() == {"succeeded": len(submitted)}
        invariant(one, submitted)
