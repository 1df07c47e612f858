"""Counts of jobs by state, which nobody counts."""

from collections import Counter
from random import Random
from threading import Event, Thread
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from storage.counters import backlog, counts, fold
from storage.feed import hold_housekeeping
from storage.session import read, write
from storage.tables import counter_deltas
from tests.support.life import TENANT, Life, succeeded
from tests.support.random_life import STEPS, RandomLife


def counted(life: Life, tenant: str = TENANT) -> Counter[str]:
    found: Counter[str] = Counter()
    for count in read(life.engine, counts, tenant):
        found[count.state] += count.jobs
    return found


def test_counts_are_right_before_and_after_folding(life: Life) -> None:
    # given jobs in three states
    worker = life.worker()
    for _ in range(3):
        life.submit()
    life.running(worker)
    done = life.running(worker)
    life.commit(worker, succeeded(done))
    expected = {"queued": 3, "running": 1, "succeeded": 1}
    # when the deltas are folded
    assert counted(life) == expected
    assert write(life.engine, fold) > 0
    # then the counts are the same, with nothing left to fold, and again after more has happened
    assert counted(life) == expected
    assert life.count(counter_deltas) == (0,)
    assert write(life.engine, fold) == 0
    life.submit()
    assert counted(life) == {**expected, "queued": 4}


def test_counts_tell_tenants_applications_and_lanes_apart(life: Life) -> None:
    # given jobs of two tenants in two lanes
    life.submit(lane="bulk")
    life.submit()
    life.submit("other")
    # when they are counted
    mine = read(life.engine, counts, TENANT)
    # then each has its own count
    assert [(count.application, count.lane, count.jobs) for count in mine] == [
        ("inspection", "bulk", 1),
        ("inspection", "standard", 1),
    ]
    assert sum(count.jobs for count in read(life.engine, counts)) == 3


def test_the_backlog_is_what_waits_and_runs(life: Life) -> None:
    # given one of each
    worker = life.worker()
    life.submit()
    life.running(worker)
    done = life.running(worker)
    life.commit(worker, succeeded(done))
    # when the backlog is asked for
    # then what has ended is not in it
    assert read(life.engine, backlog, TENANT) == 2


@pytest.mark.service
def test_counts_are_right_while_they_are_folded(postgresql_engine: Engine) -> None:
    # given a fold that has run and is not committed, and a job that comes meanwhile
    life = Life(postgresql_engine)
    for _ in range(5):
        life.submit()
    folded, told = Event(), Event()

    def slowly(connection: Connection) -> None:
        assert hold_housekeeping(connection)
        fold(connection)
        folded.set()
        assert told.wait(30)

    thread = Thread(target=write, args=(life.engine, slowly))
    thread.start()
    assert folded.wait(30)
    # when counts are asked for during and after it
    life.submit()
    during = counted(life)
    told.set()
    thread.join(30)
    # then they are right both times
    assert during == counted(life) == {"queued": 6}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(STEPS), min_size=5, max_size=40), seed=st.integers(0, 2**16))
def test_after_any_life_the_counts_equal_a_count(life: Life, steps: list[str], seed: int) -> None:
    # given a random life
    tenant = f"t-{uuid4().hex}"
    random_life = RandomLife(life, tenant, Random(seed))
    # when it is lived
    for step in steps:
        random_life.step(step)
    # then the counters say what counting the rows says
    assert counted(life, tenant) == Counter(state.value for state in life.states(tenant).values())
