"""A RabbitMQ that is restarted, takes no publishes for want of memory, or loses queues and messages."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import rabbitmqctl
from tests.support.brokers import local_rabbitmq
from tests.support.drill import QUICK
from tests.support.invariant import invariant
from tests.support.outages import keep_submitting, put_under_load
from tests.support.scale import only_in_full
from tests.support.servers import PrivateRabbitMQ
from tests.support.system import system
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

LEASE_S = 3.0
GRACE_S = 10.0
STANDARD = "inspection.standard"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbitMQ]:
    """A RabbitMQ of this file's own, since starting one takes long."""
    made = PrivateRabbitMQ(tmp_path_factory.mktemp("broker"))
    made.start()
    yield made
    made.kill()


def test_a_rabbitmq_killed_under_load_and_started_again_loses_nothing(
    server: PrivateRabbitMQ, postgresql_url: str, tmp_path: Path, recovery
) -> None:
    with system(postgresql_url, server.url, tmp_path) as one:
        submitted = put_under_load(one)

        server.kill()
        submitted += keep_submitting(one, QUICK, 1, every_s=0.2)
        server.start()

        recovery(one.wait_for_the_end(LEASE_S + GRACE_S))
        assert one.states() == {"succeeded": len(submitted)}
        invariant(one, submitted)


def test_while_a_rabbitmq_has_no_memory_housekeeping_goes_on_and_afterwards_all_ends(
    server: PrivateRabbitMQ, postgresql_url: str, tmp_path: Path, recovery
) -> None:
    with system(postgresql_url, server.url, tmp_path) as one:
        submitted = put_under_load(one)
        # given a broker that takes no publishes
        server.control("set_vm_memory_high_watermark", "absolute", "1")
        submitted += keep_submitting(one, QUICK, 2, every_s=0.2)
        # when a deadline passes, and a worker dies in the midst of a job
        deadline = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        late = one.submit(QUICK, 3, deadline=deadline)
        begun = time.monotonic()
        for process in one.processes:
            if process.args[3] == "worker":
                process.kill()
                process.wait(10)
        # then the jobs end, and are given back, no later than else
        eventually(lambda: one.states().get("expired", 0) == 3, 1 + 3, "deadlines pass")
        eventually(lambda: "running" not in one.states(), LEASE_S + 3, "leases lapse")
        assert time.monotonic() - begun < LEASE_S + 5
        # and all of the others run, once it takes publishes again
        one.start("worker")
        server.control("set_vm_memory_high_watermark", "0.4")
        recovery(one.wait_for_the_end(LEASE_S + GRACE_S + 8 * 0.5))  # what ran is suspect, and runs alone
        assert one.states() == {"succeeded": len(submitted), "expired": 3}
        invariant(one, submitted + late)


def test_a_queue_deleted_under_the_worker_is_made_again(postgresql_url: str, tmp_path: Path, recovery) -> None:
    with local_rabbitmq(tmp_path) as there, system(postgresql_url, there.url, tmp_path) as one:
        submitted = put_under_load(one)

        rabbitmqctl("delete_queue", "-p", urlsplit(there.url).path[1:], STANDARD)
        submitted += keep_submitting(one, QUICK, 1, every_s=0.2)

        recovery(one.wait_for_the_end(LEASE_S + GRACE_S))
        assert one.states() == {"succeeded": len(submitted)}
        invariant(one, submitted)


@only_in_full
def test_a_policy_that_drops_messages_loses_no_job(postgresql_url: str, tmp_path: Path, recovery) -> None:
    with local_rabbitmq(tmp_path) as there, system(postgresql_url, there.url, tmp_path) as one:
        # given queues that keep one message only
        host = urlsplit(there.url).path[1:]
        rabbitmqctl("set_policy", "-p", host, "drop", ".*", '{"max-length": 1}', "--apply-to", "queues")
        submitted = put_under_load(one)
        submitted += keep_submitting(one, QUICK, 3, every_s=0.05)

        recovery(one.wait_for_the_end(LEASE_S + GRACE_S))
        assert one.states() == {"succeeded": len(submitted)}
        invariant(one, submitted)
