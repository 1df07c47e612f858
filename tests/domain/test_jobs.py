"""A job's states and the ways between them."""

import pytest

from domain.events import ending
from domain.jobs import REPLAYABLE, TRANSITIONS, JobState, Lane, queue_name

ENDS = [state for state in JobState if state.ended]


def test_what_ends_a_job_is_not_queued_or_running() -> None:
    # given all states
    # when the ends are picked
    # then two are none
    assert set(JobState) - set(ENDS) == {JobState.QUEUED, JobState.RUNNING}


def test_every_state_says_where_it_leads() -> None:
    # given the table of transitions
    # when it is compared with the states
    # then none is missing, and no job stays where it is by a transition
    assert set(TRANSITIONS) == set(JobState)
    assert all(state not in ways for state, ways in TRANSITIONS.items())


@pytest.mark.parametrize("state", ENDS)
def test_an_end_leads_nowhere_but_back_to_the_start(state: JobState) -> None:
    # given an end
    # when its ways are read
    # then the only one is a replay
    assert TRANSITIONS[state] <= {JobState.QUEUED}


def test_every_end_can_be_reached() -> None:
    # given a fresh job
    reached, todo = set(), [JobState.QUEUED]
    # when every way is gone
    while todo:
        state = todo.pop()
        if state not in reached:
            reached.add(state)
            todo += TRANSITIONS[state]
    # then there is no state that no job comes to
    assert reached == set(JobState)


def test_nothing_succeeds_or_fails_without_having_run() -> None:
    # given the ends that only a run can give
    # when the ways from the queue are read
    # then they are not among them
    assert TRANSITIONS[JobState.QUEUED].isdisjoint({JobState.SUCCEEDED, JobState.FAILED, JobState.DEAD})


def test_an_answer_and_a_lost_place_are_not_replayed() -> None:
    # given what can be replayed
    # when it is read
    # then a success stays, and what was superseded stays so
    assert {JobState.FAILED, JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED} == REPLAYABLE


@pytest.mark.parametrize("state", ENDS)
def test_every_end_has_an_event(state: JobState) -> None:
    # given an end
    # when its event is asked for
    # then it is named after it
    assert ending(state) == f"job.{state.value}"


def test_lanes_go_from_urgent_to_patient() -> None:
    # given the lanes
    # when they are put in order
    # then somebody who waits comes first
    assert sorted(Lane, key=lambda lane: lane.rank) == [Lane.INTERACTIVE, Lane.STANDARD, Lane.BULK]
    assert queue_name("inspection", Lane.BULK) == "inspection.bulk"
