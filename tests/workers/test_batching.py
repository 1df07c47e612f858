"""The batcher by itself: a pure thing that is told the time."""

import math
from collections.abc import Sequence
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.batching import Batcher, Call
from workers.models.family import Prepared

WAIT = 8.0


def call(at: float = 0.0, *, deadline: float = math.inf, lane: int = 1, group: str = "g", pixels: int = 1) -> Call:
    return Call(Prepared(None, group, pixels), uuid4(), lane, deadline, at)


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


moments = st.floats(0, 20, allow_nan=False)
calls = st.builds(
    call,
    at=moments,
    deadline=st.one_of(st.just(math.inf), moments),
    lane=st.integers(0, 2),
    group=st.sampled_from("abc"),
    pixels=st.integers(1, 700),
)


@settings(max_examples=150, deadline=None)
@given(coming=st.lists(calls, max_size=30), most=st.integers(1, 6), gone=st.sets(st.integers(0, 29)))
def test_every_call_is_taken_once_within_all_limits_and_in_time(
    coming: Sequence[Call], most: int, gone: set[int]
) -> None:
    # given calls that come over time, of which some are taken back as soon as they came
    waiting = batcher(most=most)
    taken: list[Call] = []
    left = sorted(coming, key=lambda one: one.at)
    withdrawn = [one for at, one in enumerate(left) if at in gone]
    now = 0.0
    # when the batcher is polled whenever it said that it would close
    while left or waiting.waiting:
        due = waiting.closes_at(now, others_may_join=True)
        now = max(now, min(due, left[0].at if left else math.inf))
        while left and left[0].at <= now:
            one = left.pop(0)
            waiting.add(one)
            if one in withdrawn:
                assert waiting.withdraw(one)
        while waiting.closes_at(now, others_may_join=True) <= now:
            batch = waiting.take()
            # then no batch breaks a limit, mixes groups or is out of order
            assert 1 <= len(batch) <= most
            assert len(batch) == 1 or sum(one.prepared.pixels for one in batch) <= 1_000
            assert len({one.prepared.group for one in batch}) == 1
            assert batch == sorted(batch, key=lambda one: one.order)
            rest = [one for one in waiting.waiting if one.prepared.group == batch[0].prepared.group]
            assert all(one.order >= batch[-1].order for one in rest)
            # and no call waited longer than it may
            assert all(now - one.at <= WAIT + 1e-9 for one in batch)
            taken += batch
    # and no call was lost or taken twice
    assert len(taken) == len({id(one) for one in taken})
    assert {id(one) for one in taken} == {id(one) for one in coming} - {id(one) for one in withdrawn}
