"""When a worker that hears nothing counts as deaf."""

from dataclasses import dataclass

import pytest

from workers.deafness import Doubt


@dataclass
class Clock:
    """A clock that a test turns."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def looks(doubt: Doubt, clock: Clock, told: list[tuple[int, bool]]) -> list[bool]:
    """Look once a second, each time told what was heard by then and whether there was something to hear."""
    answers = []
    for heard, should_hear in told:
        answers.append(doubt.look(heard, should_hear=should_hear))
        clock.now += 1
    return answers


@pytest.mark.parametrize(
    ("told", "deaf"),
    [
        pytest.param([(1, True)] * 6, [False] * 4 + [True, False], id="nothing heard for the whole of its patience"),
        pytest.param([(1, True), (1, True), (2, True), (2, True), (2, True)], [False] * 5, id="heard something"),
        pytest.param([(1, True)] * 3 + [(1, False)] + [(1, True)] * 3, [False] * 7, id="nothing to hear for a moment"),
        pytest.param([(1, False)] * 9, [False] * 9, id="nothing to hear"),
    ],
)
def test_an_idle_worker_that_hears_nothing_of_what_is_rung_for_is_deaf(
    told: list[tuple[int, bool]], deaf: list[bool]
) -> None:
    # given a patience of three seconds
    clock = Clock()
    # when it is looked after each second, then it is deaf only after so long without a break
    assert looks(Doubt(3.0, clock), clock, told) == deaf
