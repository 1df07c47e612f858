"""The batcher by itself: a pure thing that is told the time."""

import math
from collections.abc import Sequence
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.batching import PATIENCE, Batcher, Call, next_batcher
from workers.models.family import Prepared
from workers.registry import ModelSpec

WAIT = 8.0


def call(
    at: float = 0.0, *, deadline: float = math.inf, lane: int = 1, group: str = "g", pixels: int = 1, tokens: int = 0
) -> Call:
    return Call(Prepared(None, group, pixels, tokens=tokens), uuid4(), lane, deadline, at)


def batcher(*calls: Call, most: int = 4, pixels: int = 1_000) -> Batcher:
    made = Batcher(most, pixels, WAIT)
    for one in calls:
        made.add(one)
    return made


def test_nothing_closes_while_nothing_waits() -> None:
    # given an empty batcher
    # when it is asked
    # then no batch closes, ever
    assert batcher().closes_at(5.0, others_may_join=True) == math.inf
    assert batcher().closes_at(5.0, others_may_join=False) == math.inf


def test_a_batch_closes_when_its_oldest_call_has_waited_long_enough() -> None:
    # given two calls
    waiting = batcher(call(3.0), call(1.0))
    # when others may still join
    # then the oldest sets the time
    assert waiting.closes_at(4.0, others_may_join=True) == 1.0 + WAIT


def test_a_batch_closes_at_once_when_nobody_else_can_join() -> None:
    # given a lone call
    # when nothing else is in flight
    # then waiting would be for nothing
    assert batcher(call(1.0)).closes_at(1.5, others_may_join=False) == 1.5


def test_a_batch_closes_when_it_is_full_by_count_or_by_pixels() -> None:
    # given as many calls as fit, or as many pixels, or one more call than the pixels allow
    full = batcher(*[call() for _ in range(4)])
    heavy = batcher(call(pixels=600), call(pixels=400))
    overfull = batcher(call(pixels=600), call(pixels=600))
    # when they are asked
    # then they close now
    assert [it.closes_at(0.5, others_may_join=True) for it in (full, heavy, overfull)] == [0.5, 0.5, 0.5]
    assert len(overfull.take()) == 1
    # and one that has room waits
    assert batcher(call(pixels=600), call(pixels=399)).closes_at(0.5, others_may_join=True) == WAIT


def test_a_call_larger_than_the_limit_goes_alone() -> None:
    # given a call that has more pixels than a batch may have
    large, small = call(0.0, pixels=5_000), call(1.0)
    waiting = batcher(large, small)
    # when batches are taken
    # then it is not kept for ever
    assert waiting.take() == [large]
    assert waiting.take() == [small]


def test_calls_are_served_by_deadline_then_lane_then_age() -> None:
    # given calls that differ in each
    old, young = call(1.0), call(2.0)
    urgent_lane = call(3.0, lane=0)
    soon, later = call(9.0, deadline=20.0, lane=2), call(0.0, deadline=30.0)
    waiting = batcher(young, later, old, urgent_lane, soon, most=8)
    # when they are taken
    # then that is their order
    assert waiting.urgency() == (20.0, 2, 9.0)
    assert waiting.take() == [soon, later, urgent_lane, old, young]


def test_groups_do_not_share_a_batch() -> None:
    # given calls of two groups, in turn
    a1, b1, a2, b2 = call(0.0, group="a"), call(1.0, group="b"), call(2.0, group="a"), call(3.0, group="b")
    waiting = batcher(a1, b1, a2, b2)
    # when they are taken
    # then each group has its batch, that of the most urgent call first
    assert [waiting.take(), waiting.take()] == [[a1, a2], [b1, b2]]


def test_a_call_of_another_group_does_not_wait_for_a_more_urgent_one_to_ripen() -> None:
    # given an old call, and a young one of another group that goes before it
    old, urgent = call(0.0, group="b"), call(6.0, group="a", deadline=50.0)
    waiting = batcher(old, urgent)
    # when the old one has waited long enough
    # then batches close, the urgent one's first and then its own
    assert waiting.closes_at(7.0, others_may_join=True) == WAIT
    assert [waiting.take(), waiting.closes_at(8.0, others_may_join=True), waiting.take()] == [[urgent], WAIT, [old]]


def test_a_call_taken_back_is_in_no_batch() -> None:
    # given two calls, one of which is taken back
    kept, gone = call(), call()
    waiting = batcher(kept, gone)
    assert waiting.withdraw(gone)
    # when the batch is taken
    # then it is not there, and taking back what is gone says so
    assert waiting.take() == [kept]
    assert not waiting.withdraw(kept)
    assert not waiting.withdraw(gone)


def test_a_size_that_did_not_fit_is_remembered_for_its_group() -> None:
    # given memory that ran out at four
    waiting = batcher(*[call(group="a") for _ in range(4)], *[call(group="b") for _ in range(4)])
    waiting.too_large("a", 4)
    # when batches are taken
    # then that group gets half, and the other is as before
    assert [len(waiting.take()) for _ in range(3)] == [2, 2, 4]
    # and it never falls below one, nor rises again by a later, larger failure
    for size in (2, 1, 8):
        waiting.too_large("a", size)
    assert (waiting.limit("a"), waiting.limit("b")) == (1, 4)


@pytest.mark.guard("batch: a call that many batches went before goes next")
def test_a_call_is_not_passed_over_for_ever_by_calls_with_deadlines() -> None:
    # given a call without a deadline, and for each batch of one an urgent call that comes
    patient = call(0.0)
    waiting = batcher(patient, most=1)
    # when batches are taken
    taken = []
    for at in range(PATIENCE + 1):
        waiting.add(call(1.0 + at, deadline=100.0))
        taken += waiting.take()
    # then so many went before it, and then it had its turn
    assert taken.index(patient) == PATIENCE


@pytest.mark.guard("batch: a call that many batches went before goes next")
def test_a_group_is_not_passed_over_for_ever_by_another() -> None:
    # given a call of one group, and two urgent ones of another for each batch of one that goes
    patient, waiting = call(0.0, group="b"), batcher(most=1)
    waiting.add(patient)
    # when batches are taken
    taken = []
    for at in range(PATIENCE + 1):
        waiting.add(call(1.0 + at, group="a", lane=0))
        waiting.add(call(1.0 + at, group="a", lane=0))
        taken += waiting.take()
    # then its group had its turn
    assert taken.index(patient) == PATIENCE


@pytest.mark.guard("batch: a call that many batches went before goes next")
def test_a_model_is_not_passed_over_for_ever_by_another_of_its_device() -> None:
    # given two models, and for each batch an urgent call of the first
    urgent, patient = batcher(), batcher(call(0.0))
    served = []
    # when their device takes the next batch, again and again
    for at in range(PATIENCE + 1):
        urgent.add(call(float(at), deadline=100.0))
        chosen = next_batcher([urgent, patient], WAIT + at, others_may_join=False)
        assert chosen is not None
        chosen.take()
        served.append(chosen)
    # then the second had its turn
    assert served == [urgent] * PATIENCE + [patient]


def test_a_batch_that_has_not_closed_is_not_passed_over() -> None:
    # given a call that waits for company, and another model's batches meanwhile
    young, busy = batcher(call(0.0)), batcher()
    for _ in range(3):
        for _ in range(4):
            busy.add(call(0.0))
        # when those go
        assert next_batcher([young, busy], 1.0, others_may_join=True) is busy
        busy.take()
    # then none was a turn that the call could have had
    assert young.waiting[0].passed == 0
    assert next_batcher([young, busy], 1.0, others_may_join=True) is None


def test_tokens_fill_a_batch_as_pixels_do() -> None:
    # given calls without a picture and many tokens
    made = Batcher(8, 1_000, WAIT, max_tokens=100)
    for tokens in (60, 40, 1, 500):
        made.add(call(tokens=tokens, pixels=0))
    # when batches are taken
    assert made.closes_at(0.5, others_may_join=True) == 0.5
    sizes = [[one.prepared.tokens for one in made.take()] for _ in range(3)]
    # then none has more than may be, but for what has more by itself
    assert sizes == [[60, 40], [1], [500]]


def test_a_batcher_has_the_limits_of_its_models_row() -> None:
    # given a row
    told = {"family": "none", "capabilities": ("detect",), "source": "none", "revision": "1", "licence": "none"}
    limits = {"max_batch": 3, "max_pixels": 70, "max_tokens": 50, "max_wait_ms": 20}
    spec = ModelSpec.model_validate({"name": "m", **told, **limits})
    # when its batcher is made, with a size that is known not to fit
    made = Batcher.of(spec, {"large": 1})
    # then they are its own
    assert (made.max_batch, made.max_pixels, made.max_tokens, made.max_wait_s) == (3, 70, 50, 0.02)
    assert (made.limit("large"), made.limit("small")) == (1, 3)


moments = st.floats(0, 20, allow_nan=False)
calls = st.builds(
    call,
    at=moments,
    deadline=st.one_of(st.just(math.inf), moments),
    lane=st.integers(0, 2),
    group=st.sampled_from("abc"),
    pixels=st.integers(0, 700),
    tokens=st.integers(0, 300),
)


def first_of(waiting: Sequence[Call]) -> Call:
    """Return the call whose turn it is: who waited for too many batches, by age, or else the most urgent."""
    overdue = [one for one in waiting if one.passed >= PATIENCE]
    return min(overdue or waiting, key=lambda one: (one.at,) if overdue else (one.deadline, one.lane, one.at))


@settings(max_examples=300, deadline=None)
@given(
    coming=st.lists(st.tuples(st.integers(0, 2), calls), max_size=60),
    most=st.integers(1, 6),
    run_s=st.sampled_from([0.0, 0.1, 3.0]),
    gone=st.sets(st.integers(0, 59)),
)
def test_whatever_comes_every_call_is_taken_once_within_all_limits_in_order_and_in_time(
    coming: Sequence[tuple[int, Call]], most: int, run_s: float, gone: set[int]
) -> None:
    # given three models on a device whose batches take some time, and calls that come over time, some to be taken back
    models = [Batcher(most, 1_000, WAIT, max_tokens=400) for _ in range(3)]
    left = sorted(coming, key=lambda told: told[1].at)
    leaving = {id(one) for number, (_, one) in enumerate(left) if number in gone}
    taken: list[Call] = []
    withdrawn: list[Call] = []
    older: dict[int, int] = {}
    now = 0.0
    while left or any(model.waiting for model in models):
        while left and left[0][1].at <= now:
            number, one = left.pop(0)
            older[id(one)] = sum(len(model.waiting) for model in models)
            models[number].add(one)
        # when the device asks what is next
        closings = [model.closes_at(now, others_may_join=True) for model in models]
        ready = [one for model, at in zip(models, closings, strict=True) if at <= now for one in model.waiting]
        expected = first_of(ready) if ready else None
        chosen = next_batcher(models, now, others_may_join=True)
        if chosen is None:
            assert not ready
            now = min(*closings, left[0][1].at if left else math.inf)
            continue
        batch = chosen.take()
        # then it is the one whose turn it is, and its company keeps to the order, to its group and within all limits
        assert batch[0] is expected
        assert batch == sorted(batch, key=lambda one: one.order)
        assert {one.prepared.group for one in batch} == {batch[0].prepared.group}
        assert len(batch) <= most
        assert len(batch) == 1 or sum(one.prepared.pixels for one in batch) <= 1_000
        assert len(batch) == 1 or sum(one.prepared.tokens for one in batch) <= 400
        # and nobody waited longer than for company, for the batch that ran, for the patience, and for who was older
        for one in batch:
            assert one.passed <= PATIENCE + older[id(one)]
            assert now - one.at <= WAIT + run_s * (1 + PATIENCE + older[id(one)]) + 1e-6
        taken += batch
        now += run_s
        withdrawn += [
            one for model in models for one in list(model.waiting) if id(one) in leaving and model.withdraw(one)
        ]
    # and no call was lost, taken twice, or taken although it had been taken back
    assert len(taken) + len(withdrawn) == len(coming)
    assert {id(one) for one in (*taken, *withdrawn)} == {id(one) for _, one in coming}
