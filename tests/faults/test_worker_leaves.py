"""Workers that are told to leave: by every signal, past their time, while they start, and while nobody answers them."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from storage.session import read
from storage.tables import jobs
from tests.support.drill import GATED, QUICK, SLOW
from tests.support.gates import Gates
from tests.support.invariant import invariant
from tests.support.pairings import EMBEDDED, RABBITMQ, REDIS, on
from tests.support.proxy import Proxy
from tests.support.system import DRILL, System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

LEASE_S = 3.0
WITHIN_S = LEASE_S + 10.0
LEAVE_S = 10.0
"""How long leaving may take once nothing runs: Celery's own loop has three seconds, the machine may be busy."""
Recovery = Callable[[float], None]


def column(one: System, name: str) -> list[object]:
    return read(one.engine, lambda connection: list(connection.execute(select(jobs.c[name])).scalars()))


def cost_nothing(one: System) -> None:
    assert set(column(one, "attempts")) == set(column(one, "losses")) == {0}, "a drain costs a job nothing"


@on(EMBEDDED, RABBITMQ)
def test_every_signal_to_leave_drains_and_a_second_one_changes_nothing(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    worker = one.start("worker", machine="first")
    submitted = one.submit(SLOW, 40)
    for turn, told in enumerate(((signal.SIGINT,), (signal.SIGQUIT,), (signal.SIGTERM, signal.SIGTERM, signal.SIGINT))):
        eventually(lambda: "running" in one.states(), 15, "it works")
        successor = one.start("worker", machine=f"then-{turn}")
        for number in told:
            worker.send_signal(number)
            time.sleep(0.1)
        left = time.monotonic()
        assert worker.wait(LEAVE_S) == 0, f"it drained on {told}"
        submitted += one.submit(SLOW, 16)
        worker = successor

    one.wait_for_the_end(WITHIN_S + 40)
    recovery(time.monotonic() - left)
    assert one.states() == {"succeeded": 88}
    cost_nothing(one)
    invariant(one, submitted)


@on(REDIS)
def test_past_its_time_a_worker_hands_back_what_runs_and_cannot_commit_it_any_more(
    one: System, gates: Gates, recovery: Recovery
) -> None:
    # given a job that does not end
    gates.hold("run")
    one.start("dispatch")
    worker = one.start("worker", SIGHTLINE_DRAIN_SECONDS="1")
    submitted = one.submit(GATED)
    gates.reached("run")

    # when the worker has to leave, and the job ends just after its time
    worker.terminate()
    eventually(lambda: one.states() == {"queued": 1}, 10, f"it was handed back\n{one.logs()}")
    left = time.monotonic()
    gates.open("run")

    # then it is another worker's, and its second run counts
    assert worker.wait(LEAVE_S) == 0
    assert one.states() == {"queued": 1}
    one.start("worker")
    one.wait_for_the_end(WITHIN_S)
    recovery(time.monotonic() - left)
    assert (column(one, "token"), one.states()) == ([2], {"succeeded": 1})
    assert column(one, "suspect") == column(one, "late") == [False]
    cost_nothing(one)
    invariant(one, submitted)


@on(EMBEDDED)
def test_told_to_leave_while_it_loads_its_first_model_it_ends_at_once(
    one: System, gates: Gates, tmp_path: Path, recovery: Recovery
) -> None:
    profile = tmp_path / "gated.toml"
    profile.write_text(DRILL.read_text().replace('preload = ["drill"]', 'preload = ["gated"]'))
    gates.hold("load")
    submitted = one.submit(QUICK, 4)
    one.start("dispatch")
    worker = one.spawn("worker", SIGHTLINE_MODELS=str(profile))
    gates.reached("load")

    worker.terminate()
    assert worker.wait(5) == -signal.SIGTERM, "there is nothing to drain yet"
    left = time.monotonic()
    gates.open("load")
    one.start("worker", SIGHTLINE_MODELS=str(profile))

    one.wait_for_the_end(WITHIN_S)
    recovery(time.monotonic() - left)
    cost_nothing(one)
    invariant(one, submitted)


@on(REDIS)
@pytest.mark.parametrize(("away", "fault"), [("database", "refuse"), ("database", "cut"), ("broker", "cut")])
def test_told_to_leave_while_nobody_answers_it_ends_in_time(
    one: System, away: str, fault: str, recovery: Recovery
) -> None:
    # given a worker whose line to its database, or broker, can be taken away
    url = make_url(one.settings.database_url if away == "database" else one.settings.broker_url)
    assert url.port is not None
    proxy = Proxy(url.port)
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    one.start("dispatch")
    setting = "SIGHTLINE_DATABASE_URL" if away == "database" else "SIGHTLINE_BROKER_URL"
    worker = one.start("worker", **{setting: through}, SIGHTLINE_DRAIN_SECONDS="2", SIGHTLINE_DATABASE_ANSWER_S="2")
    submitted = one.submit(SLOW, 16)
    eventually(lambda: "running" in one.states(), 15, "it works")

    # when it has to leave while the line is dead
    getattr(proxy, fault)()
    begun = time.monotonic()
    worker.terminate()
    code = worker.wait(45)
    took = time.monotonic() - begun
    proxy.close()
    one.start("worker")

    # then it does, and its jobs run elsewhere
    one.wait_for_the_end(WITHIN_S + 16 * 0.5)
    recovery(time.monotonic() - begun - took)
    assert (code, took < 30) == (0, True), f"after {took:.1f} s with {code}"
    assert one.states() == {"succeeded": 16}
    assert set(column(one, "attempts")) == {0}
    invariant(one, submitted)


@on(EMBEDDED)
def test_a_broken_pipe_is_nothing_and_a_hang_up_costs_time_alone(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    worker = one.start("worker")
    submitted = one.submit(SLOW, 16)
    eventually(lambda: "running" in one.states(), 15, "it works")

    worker.send_signal(signal.SIGPIPE)
    time.sleep(0.3)
    assert worker.poll() is None
    worker.send_signal(signal.SIGHUP)
    worker.wait(LEAVE_S)
    left = time.monotonic()
    one.start("worker")

    one.wait_for_the_end(WITHIN_S + 16 * 0.5)
    recovery(time.monotonic() - left)
    assert one.states() == {"succeeded": 16}
    assert set(column(one, "attempts")) == {0}
    invariant(one, submitted)


class Progress:
    """How long nothing ended, at the longest, from the first end to the last."""

    def __init__(self, one: System, count: int) -> None:
        self.longest_s, self._one, self._count = 0.0, one, count
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        done, at = 0, time.monotonic()
        while done < self._count:
            now, ended = time.monotonic(), self._one.states().get("succeeded", 0)
            if ended > done:
                self.longest_s = max(self.longest_s, now - at if done else 0.0)
                done, at = ended, now
            time.sleep(0.1)

    def end(self) -> float:
        """Return it once all have ended."""
        self._thread.join(30)
        return self.longest_s


@on(REDIS)
def test_two_workers_restarted_in_turn_under_load_never_let_it_stand_still(one: System, recovery: Recovery) -> None:
    one.start("dispatch")
    workers = {name: one.start("worker", machine=name) for name in ("north", "south")}
    submitted = one.submit(SLOW, 260)
    progress = Progress(one, 260)
    eventually(lambda: "succeeded" in one.states(), 20, "they work")

    for name, worker in workers.items():
        worker.terminate()
        assert worker.wait(LEAVE_S) == 0
        one.start("worker", machine=name)
    restarted = time.monotonic()

    one.wait_for_the_end(60)
    recovery(time.monotonic() - restarted)
    assert one.states() == {"succeeded": 260}
    assert progress.end() < LEASE_S, "somebody always works"
    cost_nothing(one)
    invariant(one, submitted)
