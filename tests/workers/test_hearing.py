"""The worker's own queue of heard ids."""

from threading import Timer
from uuid import UUID, uuid4

from workers.hearing import Ears


def ids(count: int) -> list[UUID]:
    return sorted(uuid4() for _ in range(count))


def test_what_was_heard_is_taken_by_deadline_lane_and_age() -> None:
    # given ids that differ in each
    ears, (old, young, urgent, soon, later) = Ears(), ids(5)
    ears.hear([(young, "standard", False, None), (later, "bulk", False, 60.0), (old, "standard", False, None)])
    ears.hear([(urgent, "interactive", False, None), (soon, "bulk", False, 5.0)])
    # when they are taken
    # then that is their order
    assert [heard.id for heard in ears.take(9, 0)] == [soon, later, urgent, old, young]


def test_a_job_heard_twice_is_taken_once() -> None:
    # given a doorbell that comes a hundred times
    ears, (job,) = Ears(), ids(1)
    for _ in range(100):
        ears.hear([(job, "standard", False, None)])
    # when it is taken
    # then it is there once; and later it may be heard again
    assert [heard.id for heard in ears.take(9, 0)] == [job]
    assert ears.take(9, 0) == []
    ears.hear([(job, "standard", False, None)])
    assert len(ears) == 1


def test_no_more_is_taken_than_asked_for() -> None:
    # given five ids
    ears, heard = Ears(), ids(5)
    ears.hear([(job, "standard", False, None) for job in heard])
    # when two are asked for
    # then the rest stays
    assert [one.id for one in ears.take(2, 0)] == heard[:2]
    assert [one.id for one in ears.take(9, 0)] == heard[2:]


def test_a_suspect_is_taken_alone() -> None:
    # given a suspect between ordinary jobs
    ears, (first, suspect, last) = Ears(), ids(3)
    ears.hear([(first, "standard", False, None), (suspect, "standard", True, None), (last, "standard", False, None)])
    # when they are taken
    # then it never comes in company
    assert [[one.id for one in ears.take(9, 0)] for _ in range(3)] == [[first], [suspect], [last]]


def test_taking_waits_for_something_to_hear() -> None:
    # given nothing, and a doorbell in a moment
    ears, (job,) = Ears(), ids(1)
    timer = Timer(0.05, ears.hear, [[(job, "standard", False, None)]])
    timer.start()
    # when something is taken
    # then it waits for it
    assert [one.id for one in ears.take(1, 10)] == [job]
    timer.join()
    assert ears.take(1, 0.01) == []


def test_what_is_put_back_keeps_its_place() -> None:
    # given two that were taken
    ears, (first, second) = Ears(), ids(2)
    ears.hear([(first, "standard", False, None), (second, "standard", False, None)])
    taken = ears.take(1, 0)
    # when one is put back, though it was heard again meanwhile
    ears.hear([(first, "standard", False, None)])
    ears.put_back(taken)
    # then it comes first, once
    assert [one.id for one in ears.take(9, 0)] == [first, second]


def test_closing_gives_back_what_was_not_claimed_and_hears_no_more() -> None:
    # given two that were heard
    ears, heard = Ears(), ids(2)
    ears.hear([(job, "standard", False, None) for job in heard])
    # when the ears are closed
    left = ears.close()
    # then they can be handed back, and nothing comes in or out any more
    assert sorted(left) == heard
    ears.hear([(uuid4(), "standard", False, None)])
    assert ears.take(9, 10) == []
    assert len(ears) == 0
