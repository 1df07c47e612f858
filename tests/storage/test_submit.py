"""The one submit: what is accepted, once, and what is refused without a trace."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from domain.errors import (
    BacklogFull,
    IdempotencyConflict,
    InvalidParameters,
    InvalidRequest,
    NotFound,
    SightlineError,
    UnknownApplication,
)
from domain.jobs import JobState
from domain.requests import JobRequest
from storage.reaping import expire
from storage.session import write
from storage.submit import Submitted, submit, submit_many
from storage.tables import counter_deltas, events, heads, job_images, jobs
from tests.support.life import TENANT, Life

EVERYTHING = (jobs, job_images, events, counter_deltas, heads)


def test_an_accepted_job_is_queued_and_wants_a_doorbell(life: Life) -> None:
    # given nothing
    # when a job is submitted
    job_id = life.submit(lane="bulk", metadata={"line": 4})
    # then it is durable, waits for a doorbell, and its acceptance was told
    row = life.row(job_id)
    assert (row.state, row.lane, row.rung_at, row.token, row.attempts) == ("queued", "bulk", None, 0, 0)
    assert row.meta == {"line": 4}
    assert job_id.version == 7
    assert life.told(job_id) == ["job.queued"]


@pytest.mark.guard("submit: one job a key")
def test_the_same_key_brings_the_same_job(life: Life) -> None:
    # given a job with a key
    first = life.submit(key="k")
    # when the same submission comes again
    again = write(life.engine, submit, TENANT, life.request(), idempotency_key="k", backlog_limit=10)
    # then it is that job, and nothing was added
    assert again == Submitted(first, created=False)
    assert life.count(jobs, events) == (1, 1)


def test_the_same_key_with_another_body_is_a_conflict(life: Life) -> None:
    # given a job with a key
    life.submit(key="k")
    # when the key comes with another lane
    with pytest.raises(IdempotencyConflict, match="'k'"):
        life.submit(key="k", lane="bulk")
    # then nothing was added
    assert life.count(jobs) == (1,)


def test_the_same_key_of_another_tenant_is_another_job(life: Life) -> None:
    # given a tenant's key
    first = life.submit(key="k")
    # when another tenant uses it
    # then each has its own job
    assert life.submit("other", key="k") != first


def test_a_repeated_key_is_answered_even_when_the_backlog_is_full(life: Life) -> None:
    # given a tenant at its limit
    first = life.submit(key="k", limit=1)
    # when it repeats what was accepted
    # then it gets the same job, not an error
    assert life.submit(key="k", limit=1) == first


def test_fifty_submissions_at_once_with_one_key_make_one_job(life: Life) -> None:
    # given fifty threads that wait for each other
    request, together = life.request(), Barrier(10)

    def send(_: int) -> Submitted:
        together.wait(30)
        return write(life.engine, submit, TENANT, request, idempotency_key="k", backlog_limit=100)

    # when each submits the same thing
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(send, range(50)))
    # then there is one job, one image row, one event; and one of them made it
    assert len({answer.job_id for answer in answers}) == 1
    assert sum(answer.created for answer in answers) == 1
    assert life.count(jobs, job_images, events, counter_deltas) == (1, 1, 1, 1)


def test_a_full_backlog_refuses_and_opens_again_when_a_job_has_ended(life: Life) -> None:
    # given a tenant with as many jobs as it may have, one waiting, one running
    worker = life.worker()
    life.running(worker, limit=2)
    waiting = life.submit(limit=2)
    # when it submits one more
    with pytest.raises(BacklogFull) as refused:
        life.submit(limit=2)
    # then it is told when to come back; others may submit; and an ended job makes room
    assert refused.value.retry_after_s > 0
    life.submit("other", limit=2)
    life.set(waiting, deadline=datetime(2020, 1, 1, tzinfo=UTC))
    assert write(life.engine, expire) == 1
    life.submit(limit=2)


@pytest.mark.parametrize(
    ("request_", "error", "said"),
    [
        ({"application": "astrology"}, UnknownApplication, "astrology"),
        ({"params": {"colour": "red"}}, InvalidParameters, "colour"),
        ({"params": {"recipe": "no-such-recipe"}}, InvalidParameters, "no-such-recipe"),
        ({"params": {"reference": 0, "model": "boards"}}, InvalidParameters, "one more is needed"),
        ({"images": []}, InvalidRequest, "0"),
        ({"images": ["cd" * 32]}, NotFound, "cdcd"),
        (
            {"deadline": "2030-01-01T00:00:00Z", "not_before": "2030-01-01T00:00:01Z"},
            InvalidRequest,
            "deadline",
        ),
    ],
)
def test_what_cannot_run_is_refused_and_leaves_nothing(
    life: Life, request_: dict[str, object], error: type[SightlineError], said: str
) -> None:
    # given a request that cannot be run
    # when it is submitted
    with pytest.raises(error, match=said):
        life.submit(key="k", **request_)
    # then nothing is stored, so that the key is free for a better one
    assert life.count(*EVERYTHING) == (0, 0, 0, 0, 0)
    life.submit(key="k")


def test_another_tenants_image_is_not_found(life: Life) -> None:
    # given an image that one tenant owns
    life.own_image("other", "ef" * 32)
    # when another names it
    # then it does not exist for that one
    with pytest.raises(NotFound):
        life.submit(images=["ef" * 32])


def test_not_before_holds_a_job_back(life: Life) -> None:
    # given a moment to come
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    # when a job is not to run before it
    job_id = life.submit(not_before=later)
    # then it is ready then, and not claimed now
    assert life.row(job_id).ready_at == later
    assert life.claim(life.worker(), job_id) == []


def test_a_newer_job_of_the_key_supersedes_the_one_that_waits(life: Life) -> None:
    # given a waiting job with a supersede key, and one of another key
    earlier, other = life.submit(supersede_key="part-1"), life.submit(supersede_key="part-2")
    # when a newer one comes
    newer = life.submit(supersede_key="part-1")
    # then the earlier one ends, and says so once
    assert (life.state(earlier), life.state(newer), life.state(other)) == ("superseded", "queued", "queued")
    assert life.told(earlier) == ["job.queued", "job.superseded"]
    assert life.row(earlier).ended_at is not None


def test_of_submissions_at_once_with_one_supersede_key_exactly_one_survives(life: Life) -> None:
    # given ten threads with the same supersede key
    request, together = life.request(supersede_key="part-1"), Barrier(10)

    def send(_: int) -> None:
        together.wait(30)
        write(life.engine, submit, TENANT, request, backlog_limit=100)

    # when they submit at once
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(send, range(10)))
    # then one job waits and it is the head
    states = life.states()
    [survivor] = [job_id for job_id, state in states.items() if state is JobState.QUEUED]
    assert sorted(states.values()).count(JobState.SUPERSEDED) == 9
    worker = life.worker()
    assert [job.id for job in life.claim(worker, *states)] == [survivor]


def test_a_bad_line_of_many_fails_alone(life: Life) -> None:
    # given lines of which some cannot be accepted
    good, bad = life.request(), life.request(params={"colour": "red"})
    lines: list[tuple[JobRequest | SightlineError, str | None]] = [
        (good, "a"),
        (bad, "b"),
        (InvalidRequest("line 3 is not JSON"), None),
        (good, "a"),
        (life.request(lane="bulk"), "a"),
        (good, None),
    ]
    # when they come together
    outcomes = submit_many(life.engine, TENANT, lines, backlog_limit=10)
    # then each has its own answer, and the good ones are there
    made = [outcome.created if isinstance(outcome, Submitted) else outcome.code for outcome in outcomes]
    assert made == [True, "invalid_parameters", "invalid_request", False, "idempotency_conflict", True]
    assert life.count(jobs, job_images, events) == (2, 2, 2)


def test_a_line_beyond_the_backlog_limit_fails_alone(life: Life) -> None:
    # given room for two more
    life.submit()
    # when four come together
    outcomes = submit_many(life.engine, TENANT, [(life.request(), None)] * 4, backlog_limit=3)
    # then two are accepted
    assert [isinstance(outcome, BacklogFull) for outcome in outcomes] == [False, False, True, True]
    assert life.count(jobs) == (3,)


def test_of_many_lines_with_one_supersede_key_the_last_survives(life: Life) -> None:
    # given three lines of one key
    # when they come together
    outcomes = submit_many(life.engine, TENANT, [(life.request(supersede_key="p"), None)] * 3, backlog_limit=9)
    # then the last waits
    made = [life.state(outcome.job_id) for outcome in outcomes if isinstance(outcome, Submitted)]
    assert made == ["superseded", "superseded", "queued"]
