"""The worker's own queue of heard ids."""

import threading
import time
from collections.abc import Sequence
from threading import Timer
from uuid import UUID, uuid4

import pytest

from domain.errors import StorageUnavailable
from workers.hearing import Ears, remembering

Row = tuple[UUID, str, bool, float | None, str]


def ids(count: int) -> list[UUID]:
    return sorted(uuid4() for _ in range(count))


def row(
    job_id: UUID, *, lane: str = "standard", suspect: bool = False, seconds: float | None = None, tenant: str = "acme"
) -> Row:
    return job_id, lane, suspect, seconds, tenant


def taken(ears: Ears, most: int = 99) -> list[UUID]:
    return [heard.id for heard in ears.take(most, 0)]


def test_what_was_heard_is_taken_by_lane_deadline_and_age() -> None:
    # given ids of a tenant that differ in each
    ears, (old, young, urgent, soon, later) = Ears(), ids(5)
    ears.hear([row(young), row(later, seconds=60.0), row(old)])
    ears.hear([row(urgent, lane="interactive"), row(soon, seconds=5.0)])
    # when they are taken
    # then that is their order
    assert taken(ears) == [urgent, soon, later, old, young]


@pytest.mark.guard("ears: the most urgent lane first")
def test_bulk_jobs_with_deadlines_do_not_pass_an_interactive_one_without() -> None:
    # given bulk jobs that have to be done within seconds, and an interactive job that has no deadline
    ears, (*heap, urgent) = Ears(), ids(5)
    ears.hear([*(row(one, lane="bulk", seconds=5.0, tenant="heap") for one in heap), row(urgent, lane="interactive")])
    # when one is taken
    # then it is the interactive one
    assert taken(ears, 1) == [urgent]


@pytest.mark.guard("ears: tenants in turn")
@pytest.mark.parametrize("seconds", [None, 5.0])
def test_tenants_take_turns_whoever_came_first_has_most_or_gives_deadlines(seconds: float | None) -> None:
    # given a heap of a tenant's jobs, and a younger job of another
    ears, (*heap, theirs) = Ears(), ids(9)
    ears.hear(row(one, tenant="heap", seconds=seconds) for one in heap[:4])
    ears.hear([row(theirs, tenant="other")])
    # when they are taken one by one, and for each an older one of the heap is heard, as a backlog is worked off
    order = []
    for more in heap[4:7]:
        order += taken(ears, 1)
        ears.hear([row(more, tenant="heap", seconds=seconds)])
    # then the other tenant's turn comes second
    assert order[:2] == [heap[0], theirs]


def test_a_job_heard_twice_is_taken_once() -> None:
    # given a doorbell that comes a hundred times
    ears, (job,) = Ears(), ids(1)
    for _ in range(100):
        ears.hear([row(job)])
    # when it is taken
    # then it is there once; and later it may be heard again
    assert [heard.id for heard in ears.take(9, 0)] == [job]
    assert ears.take(9, 0) == []
    ears.hear([row(job)])
    assert len(ears) == 1


def test_no_more_is_taken_than_asked_for() -> None:
    # given five ids
    ears, heard = Ears(), ids(5)
    ears.hear([row(job) for job in heard])
    # when two are asked for
    # then the rest stays
    assert [one.id for one in ears.take(2, 0)] == heard[:2]
    assert [one.id for one in ears.take(9, 0)] == heard[2:]


def test_a_suspect_is_taken_alone() -> None:
    # given a suspect between ordinary jobs
    ears, (first, suspect, last) = Ears(), ids(3)
    ears.hear([row(first), row(suspect, suspect=True), row(last)])
    # when they are taken
    # then it never comes in company
    assert [[one.id for one in ears.take(9, 0)] for _ in range(3)] == [[first], [suspect], [last]]


def test_taking_waits_for_something_to_hear() -> None:
    # given nothing, and a doorbell in a moment
    ears, (job,) = Ears(), ids(1)
    timer = Timer(0.05, ears.hear, [[row(job)]])
    timer.start()
    # when something is taken
    # then it waits for it
    assert [one.id for one in ears.take(1, 10)] == [job]
    timer.join()
    assert ears.take(1, 0.01) == []


def test_what_is_put_back_keeps_its_place() -> None:
    # given two that were taken
    ears, (first, second) = Ears(), ids(2)
    ears.hear([row(first), row(second)])
    taken = ears.take(1, 0)
    # when one is put back, though it was heard again meanwhile
    ears.hear([row(first)])
    ears.put_back(taken)
    # then it comes first, once
    assert [one.id for one in ears.take(9, 0)] == [first, second]


def test_what_is_put_back_keeps_its_turn_too() -> None:
    # given a job of each of two tenants and a second of the first
    ears, (first, theirs, second) = Ears(), ids(3)
    ears.hear([row(first, tenant="aaa"), row(theirs, tenant="bbb"), row(second, tenant="aaa")])
    # when two are put back
    ears.put_back(ears.take(2, 0))
    # then the order is as before
    assert taken(ears) == [first, theirs, second]


@pytest.mark.guard("ears: what waits here is not lost")
def test_what_waits_long_is_told_until_it_is_taken_and_what_is_new_is_not() -> None:
    # given ears with a job that waits, and doorbells that ring again after 0.4 s
    ears, (waiting, new), closing = Ears(), ids(2), threading.Event()
    told: list[Sequence[UUID]] = []
    ears.hear([row(waiting)])

    def tell(waits: Sequence[UUID]) -> None:
        told.append(waits)
        if len(told) == 1:
            raise StorageUnavailable("just now")

    # when some time passes
    thread = remembering(ears, tell, 0.4, closing)
    until = time.monotonic() + 10
    while len(told) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    ears.hear([row(new)])
    # then it was told again and again, whatever the database said
    assert told[:3] == [[waiting]] * 3
    assert ears.here_for(0.2) == [waiting]
    # and once it is taken, no more
    assert taken(ears) == [waiting, new]
    assert ears.here_for(0.0) == []
    closing.set()
    thread.join(5)


def test_closing_gives_back_what_was_not_claimed_and_hears_no_more() -> None:
    # given two that were heard
    ears, heard = Ears(), ids(2)
    ears.hear([row(job) for job in heard])
    # when the ears are closed
    left = ears.close()
    # then they can be handed back, and nothing comes in or out any more
    assert sorted(left) == heard
    ears.hear([row(uuid4())])
    assert ears.take(9, 10) == []


def test_closed_ears_say_what_they_do_not_take_back() -> None:
    # given two that were taken, of which one is put back before the ears are closed
    ears, (first, second) = Ears(), ids(2)
    ears.hear([row(first), row(second)])
    early, late = ears.take(1, 0), ears.take(1, 0)
    assert ears.put_back(early) == []
    assert ears.close() == [first]
    # when the other is put back afterwards
    # then the caller is told, and nothing is here
    assert ears.put_back(late) == [second]
    assert len(ears) == 0
