"""Whether a failed run is tried again, and when."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import (
    ImageMissing,
    ModelError,
    ModelUnavailable,
    SightlineError,
    StatementGivenUp,
    StorageUnavailable,
)
from domain.retries import RetryPolicy, decide

AWAY = ModelUnavailable("away")


def test_a_permanent_error_is_not_tried_again() -> None:
    # given an error that a retry cannot help
    # when it is decided on, on the first attempt
    decision = decide(ModelError("cannot"), 1, RetryPolicy(), Random(1))
    # then it is over, and the reason names the error
    assert (decision.retry, decision.delay_s) == (False, 0.0)
    assert "model_error" in decision.reason


def test_delays_grow_by_the_factor_up_to_the_longest() -> None:
    # given a policy that leaves nothing to chance
    policy = RetryPolicy(max_attempts=6, first_delay_s=1.0, factor=3.0, longest_delay_s=20.0, jitter=0.0)
    # when attempts fail one after the other
    decisions = [decide(AWAY, attempt, policy, Random(1)) for attempt in range(1, 7)]
    # then each waits longer, within the bound, and the last is the end
    assert [decision.delay_s for decision in decisions] == [1.0, 3.0, 9.0, 20.0, 20.0, 0.0]
    assert [decision.retry for decision in decisions] == [True] * 5 + [False]
    assert "attempt 6 of 6" in decisions[-1].reason


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_a_job_is_run_no_more_often_than_allowed(attempts: int) -> None:
    # given a policy
    policy = RetryPolicy(max_attempts=attempts)
    # when every attempt fails
    tried = 1
    while decide(AWAY, tried, policy, Random(1)).retry:
        tried += 1
    # then that many were made
    assert tried == attempts


@pytest.mark.parametrize(("first_s", "delay_s"), [(0.0, 1.0), (0.5, 5.0), (1.0, 10.0), (60.0, 30.0)])
def test_a_storage_that_is_away_uses_up_no_attempt_and_nobody_spins(first_s: float, delay_s: float) -> None:
    # given a storage that does not answer, and a policy that leaves nothing to chance
    policy = RetryPolicy(max_attempts=2, first_delay_s=first_s, jitter=0.0)
    # when it is decided on, on an attempt that would be the last
    decision = decide(StorageUnavailable("away"), 2, policy, Random(1))
    # then it costs nothing but some seconds
    assert (decision.retry, decision.costs_attempt, decision.delay_s) == (True, False, delay_s)
    # while one image that is missing costs an attempt
    assert not decide(ImageMissing("gone"), 2, policy, Random(1)).retry
    assert decide(ImageMissing("gone"), 1, policy, Random(1)).costs_attempt
    # and so does a statement of its own on which the database gives up
    assert not decide(StatementGivenUp("too long"), 2, policy, Random(1)).retry


@given(seed=st.integers(), attempt=st.integers(1, 4), jitter=st.floats(0, 1))
def test_chance_takes_away_no_more_than_its_share(seed: int, attempt: int, jitter: float) -> None:
    # given any share that is left to chance
    policy = RetryPolicy(jitter=jitter)
    # when a delay is drawn
    delay = decide(AWAY, attempt, policy, Random(seed)).delay_s
    # then it lies between the full delay less that share and the full delay
    full = policy.first_delay_s * policy.factor ** (attempt - 1)
    assert full * (1 - jitter) <= delay <= full


def test_jobs_that_failed_together_do_not_return_together() -> None:
    # given many jobs that failed at once
    random = Random(1)
    # when their delays are drawn
    delays = {decide(AWAY, 1, RetryPolicy(), random).delay_s for _ in range(50)}
    # then they differ
    assert len(delays) == 50


def test_every_error_says_whether_a_retry_can_help() -> None:
    # given every error of the tree
    found, todo = set(), [SightlineError]
    while todo:
        kind = todo.pop()
        found.add(kind)
        todo += kind.__subclasses__()
    # when their codes are collected
    codes = [kind.code for kind in found]
    # then each has one of its own
    assert len(set(codes)) == len(codes) > 25
    assert all(isinstance(kind.retryable, bool) for kind in found)
