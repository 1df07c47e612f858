"""The line to PostgreSQL cut without a reset, on one side or the other. Leases are 3 s, answers 3 s.

The line is a proxy that still acknowledges what is sent: the harder case, for no time-out of the kernel fires, as with
a pooler or a server that has frozen. The last test has no proxy: a machine whose packets are dropped.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from storage.session import read
from storage.tables import jobs
from tests.support.drill import QUICK, SLOW
from tests.support.far_database import ANSWER_S, GRACE_S, LEASE_S, Lined, over_a_line
from tests.support.invariant import invariant
from tests.support.load import load
from tests.support.machines import Machine, another_machine
from tests.support.proxy import Proxy
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.fault]

BROKER_S = 10.0
"""How long a worker may take to find its broker again."""

Recovery = Callable[[float], None]


@pytest.fixture
def lined(postgresql_url: str, tmp_path) -> Iterator[Lined]:
    """A system, nothing started, and a line that its processes may be given."""
    with over_a_line(postgresql_url, tmp_path) as made:
        yield made


def column(one: System, name: str) -> list[object]:
    return read(one.engine, lambda connection: list(connection.execute(select(jobs.c[name])).scalars()))


def post(client: httpx.Client, sha256: str, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/v1/jobs", json={"application": "inspection", "images": [sha256]}, headers=headers)


def an_image(one: System, client: httpx.Client, job_id: UUID) -> str:
    [image] = client.get(f"/v1/jobs/{job_id}").json()["images"]
    return str(image)


def test_a_worker_cut_off_past_its_lease_is_fenced_and_comes_back_by_itself(lined: Lined, recovery: Recovery) -> None:
    one = lined.one
    one.start("dispatch")
    cut_off = one.start("worker", **lined.through)
    # given jobs that it runs when its line falls silent
    submitted = one.submit(SLOW, 20)
    eventually(lambda: one.states().get("running", 0) > 0, 10, "jobs run")
    lined.line.cut()
    cut = time.monotonic()
    # when another worker comes
    other = one.start("worker", machine="elsewhere")
    one.wait_for_the_end(LEASE_S + GRACE_S + 20 * 0.5 / 8)
    time.sleep(max(2 * LEASE_S + ANSWER_S - (time.monotonic() - cut), 0))
    # then it has done it all, and what the first one did is let go when its line is whole again
    lined.line.heal()
    healed = time.monotonic()
    assert one.states() == {"succeeded": 20}
    # and the first one serves again
    other.kill()
    other.wait(10)
    submitted += one.submit(QUICK, 10)
    one.wait_for_the_end(LEASE_S + GRACE_S + ANSWER_S)
    recovery(time.monotonic() - healed)
    assert cut_off.poll() is None, "it was not restarted"
    assert "lease.lapsed" in one.logs()
    assert one.states() == {"succeeded": 30}
    assert set(column(one, "attempts")) == {0}
    invariant(one, submitted)


@pytest.mark.guard("gateway: probes go beside the requests")
def test_a_gateway_cut_off_answers_503_in_time_and_serves_again(lined: Lined, recovery: Recovery) -> None:
    one = lined.one
    one.start("dispatch")
    one.start("worker")
    with one.gateway(**lined.through) as client:
        submitted = one.submit(QUICK)
        image = an_image(one, client, submitted[0])
        lined.line.cut()
        # when more requests come than it has threads
        begun = time.monotonic()
        with ThreadPoolExecutor(92) as threads:
            asked = [threads.submit(post, client, image, f"key-{at}") for at in range(90)]
            ready = threads.submit(client.get, "/readyz")
            # then it lives, says that it is not ready, and answers each
            assert client.get("/healthz", timeout=1).status_code == 200
            assert ready.result().status_code == 503
            assert time.monotonic() - begun < 2 * 3 + 2, "two probes of 3 s each"
            answers = [future.result() for future in asked]
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "storage_unavailable")}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        # a turn of 10 s at most, an answer that does not come, a connection that is not made
        assert time.monotonic() - begun < 10 + 2 * ANSWER_S + 5
        lined.line.heal()
        # and once the line is whole it serves without a restart
        healed = time.monotonic()
        eventually(lambda: client.get("/readyz").status_code == 200, GRACE_S, "it is ready")
        again = [post(client, image, f"key-{at}") for at in range(40)]
        assert {answer.status_code for answer in again} == {202}
        submitted += [UUID(answer.json()["id"]) for answer in again]
        one.wait_for_the_end(LEASE_S + GRACE_S)
        recovery(time.monotonic() - healed)
    assert one.states() == {"succeeded": 41}
    invariant(one, submitted)


@pytest.mark.guard("feed: a reader is kept while the database is away")
def test_a_reader_of_the_feed_is_kept_while_the_database_is_away_and_misses_nothing(lined: Lined) -> None:
    one = lined.one
    one.start("dispatch")
    one.start("worker")
    with one.gateway(**lined.through) as client, client.stream("GET", "/v1/events", params={"after": 0}) as stream:
        lines = stream.iter_lines()
        submitted = one.submit(QUICK, 3)
        before = [heard(lines) for _ in range(6)]
        # given a reader, and a gateway whose line is cut while jobs are submitted and end
        lined.line.cut()
        submitted += one.submit(QUICK, 3)
        one.wait_for_the_end(10)
        time.sleep(2 * ANSWER_S + 2)  # an answer does not come, and then a connection is not made
        lined.line.heal()
        # then it reads on where it was
        after = [heard(lines) for _ in range(6)]
    kinds = [kind for kind, _ in before + after]
    assert [kinds.count(f"job.{kind}") for kind in ("queued", "succeeded")] == [6, 6]
    places = [place for _, place in before + after]
    assert places == sorted(set(places)), "in order, none twice"
    invariant(one, submitted)


def heard(lines: Iterator[str]) -> tuple[str, int]:
    """The next event of a stream: its type, and its place."""
    kind = place = ""
    for line in lines:
        name, _, value = line.partition(": ")
        kind = value if name == "event" else kind
        place = value if name == "id" else place
        if not line and kind:
            return kind, int(place)
    raise AssertionError("the stream has ended")


def test_a_dispatcher_cut_off_rings_again_when_its_line_is_whole(lined: Lined, recovery: Recovery) -> None:
    one = lined.one
    dispatcher = one.start("dispatch", **lined.through)
    one.start("worker")
    submitted = one.submit(QUICK, 5)
    one.wait_for_the_end(10)
    # given a dispatcher whose line is silent, and work
    lined.line.cut()
    submitted += one.submit(QUICK, 20)
    time.sleep(2 * LEASE_S)
    assert one.states()["queued"] > 0
    # when the line is whole again, then it goes on
    lined.line.heal()
    healed = time.monotonic()
    one.wait_for_the_end(LEASE_S + GRACE_S + ANSWER_S)
    recovery(time.monotonic() - healed)
    assert dispatcher.poll() is None
    assert one.states() == {"succeeded": 25}
    invariant(one, submitted)


def test_a_firewall_that_forgets_the_connections_stops_nobody_for_longer_than_an_answer(
    lined: Lined, recovery: Recovery
) -> None:
    one = lined.one
    # given everything over one line, and work under way
    one.start("dispatch", **lined.through)
    one.start("worker", **lined.through)
    with one.gateway(**lined.through) as client, load(one) as submissions:
        eventually(lambda: one.states().get("succeeded", 0) > 20, 15, "jobs succeed")
        # when the connections that there are fall silent for good, and new ones work
        lined.line.strand()
        cut = time.monotonic()
        answered = client.get("/v1/jobs", params={"limit": 1})
        assert time.monotonic() - cut < ANSWER_S + 2
        assert answered.status_code in {200, 503}
        assert client.get("/v1/jobs").status_code == 200
        time.sleep(2)
    one.wait_for_the_end(LEASE_S + GRACE_S + ANSWER_S)
    recovery(time.monotonic() - cut)
    assert one.states() == {"succeeded": len(submissions.accepted)}
    invariant(one, submissions.accepted)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("worker", b"INSERT INTO results"),
        ("worker", b"SET lease_until"),
        ("dispatch", b"SET rung_at"),
    ],
)
def test_a_commit_whose_answer_is_lost_is_not_done_twice(
    lined: Lined, role: str, statement: bytes, recovery: Recovery
) -> None:
    one = lined.one
    for each in ("dispatch", "worker"):
        one.start(each, **(lined.through if each == role else {}))
    # given a transaction whose COMMIT goes through while its answer does not
    lined.line.lose_the_answer_to(statement)
    submitted = one.submit(QUICK, 20)
    eventually(lambda: lined.line.lost == 1, 15, "an answer is lost")
    lost = time.monotonic()
    # then everything ends once all the same
    one.wait_for_the_end(LEASE_S + GRACE_S + ANSWER_S)
    recovery(time.monotonic() - lost)
    assert one.states() == {"succeeded": 20}
    assert set(column(one, "attempts")) == {0}
    invariant(one, submitted)


@pytest.mark.guard("lease: what was never answered is disowned")
def test_a_claim_whose_answer_is_lost_is_disowned_and_runs(lined: Lined, recovery: Recovery) -> None:
    one = lined.one
    one.start("dispatch")
    worker = one.start("worker", **lined.through)
    # given a claim that was done, and a worker that does not know
    lined.line.lose_the_answer_to(b"jobs.token + $")
    submitted = one.submit(QUICK, 1)
    eventually(lambda: lined.line.lost == 1, 15, "an answer is lost")
    lost = time.monotonic()
    # then it gives the job back by itself, and runs it
    one.wait_for_the_end(LEASE_S + GRACE_S + ANSWER_S)
    recovery(time.monotonic() - lost)
    assert worker.poll() is None
    assert "claim.disowned" in one.logs() or "worker.lapsed" in one.logs()
    assert (column(one, "token"), column(one, "attempts")) == ([2], [0])
    invariant(one, submitted)


def test_a_submission_whose_answer_is_lost_brings_one_job_when_its_key_is_sent_again(lined: Lined) -> None:
    one = lined.one
    one.start("dispatch")
    one.start("worker")
    submitted = one.submit(QUICK)
    with one.gateway(**lined.through) as client:
        image = an_image(one, client, submitted[0])
        # given submissions whose COMMIT goes through while the answer does not, with a key and without
        lined.line.lose_the_answer_to(b"INSERT INTO jobs")
        keyed = post(client, image, "key-1")
        lined.line.lose_the_answer_to(b"INSERT INTO jobs")
        keyless = post(client, image)
        assert lined.line.lost == 2
        # then the producer is told that they may have been stored
        for answer in (keyed, keyless):
            assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
            assert "may have been stored" in answer.json()["detail"]
        # and the same key brings the job that was stored; without a key there would be a second one
        again = post(client, image, "key-1")
        assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
        one.wait_for_the_end(LEASE_S + GRACE_S)
        stored = [UUID(job["id"]) for job in client.get("/v1/jobs").json()["jobs"]]
    assert len(stored) == 3
    assert UUID(again.json()["id"]) in stored
    invariant(one, stored)


def test_a_workers_machine_unplugged_past_its_lease_is_fenced_and_comes_back_by_itself(
    lined: Lined, recovery: Recovery
) -> None:
    one = lined.one
    one.start("dispatch")
    with another_machine() as far, ExitStack() as lines:
        # given a worker on a machine of its own, and a cable that is pulled while its jobs run
        through = dict(reached_from(far, one, lines))
        cut_off = one.start("worker", machine="far", before=far.before, **through)
        submitted = one.submit(SLOW, 20)
        eventually(lambda: one.states().get("running", 0) > 0, 10, "jobs run")
        far.unplug()
        cut = time.monotonic()
        other = one.start("worker", machine="elsewhere")
        one.wait_for_the_end(LEASE_S + GRACE_S + 20 * 0.5 / 8)
        time.sleep(max(2 * LEASE_S + ANSWER_S - (time.monotonic() - cut), 0))
        # when the cable is back, then it serves again, by its own lines to the database and the broker
        far.plug()
        plugged = time.monotonic()
        other.kill()
        other.wait(10)
        submitted += one.submit(QUICK, 10)
        one.wait_for_the_end(LEASE_S + GRACE_S + BROKER_S)
        recovery(time.monotonic() - plugged)
        assert cut_off.poll() is None, "it was not restarted"
        assert "lease.lapsed" in one.logs()
        assert one.states() == {"succeeded": 30}
        assert set(column(one, "attempts")) == {0}
        invariant(one, submitted)


def reached_from(far: Machine, one: System, lines: ExitStack) -> Iterator[tuple[str, str]]:
    """Yield the settings with which a process on the other machine reaches the database and the broker."""
    for name, url in (("DATABASE", one.settings.database_url), ("BROKER", one.settings.broker_url)):
        found = make_url(url)
        assert found.port is not None
        line = Proxy(found.port, host=far.host)
        lines.callback(line.close)
        told = found.set(host=far.host, port=line.port)
        yield f"SIGHTLINE_{name}_URL", told.render_as_string(hide_password=False)
