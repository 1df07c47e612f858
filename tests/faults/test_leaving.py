"""What a leaving worker heard goes to others at once, while what it runs goes on."""

import signal
import time
from pathlib import Path

import pytest

from tests.support.drill import HANG, QUICK
from tests.support.outages import a_line_to, ended
from tests.support.proxy import Way
from tests.support.system import system
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]


def test_what_a_leaving_worker_heard_before_it_was_noted_as_rung_for_does_not_wait_for_the_re_ring(
    postgresql_url: str, tmp_path: Path, recovery
) -> None:
    with (
        a_line_to("rabbitmq", tmp_path) as line,
        system(postgresql_url, line.straight.url, tmp_path, line.straight.prefix) as one,
    ):
        # given a worker whose only thread a job holds, and a dispatcher who hears of its publishes late
        one.start("dispatch", SIGHTLINE_RERING_SECONDS="60", SIGHTLINE_BROKER_URL=line.through.url)
        leaving = one.start("worker", SIGHTLINE_JOB_THREADS="1", SIGHTLINE_DRAIN_SECONDS="40")
        one.submit(HANG)
        eventually(lambda: one.states().get("running", 0) == 1, 10, "it holds the thread")
        time.sleep(1)
        line.proxy.cut(Way.ANSWERING)
        one.submit(QUICK)
        time.sleep(1)  # the worker has heard of it, and nobody has noted so
        # when the worker leaves, and only then the dispatcher notes that it has rung
        leaving.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        line.proxy.heal()
        # then another runs it
        one.start("worker", machine="elsewhere")
        recovery(eventually(lambda: ended(one) == 1, 10, f"it ran elsewhere\n{one.logs()}"))
        assert leaving.poll() is None, "the first is still being waited for"
