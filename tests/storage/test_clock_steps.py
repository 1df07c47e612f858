"""A database's clock that was set back, as the rows show it: with moments that are still to come.

The step itself, under running processes, is in tests/faults/test_clocks.py.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, select

from storage.clock import moment
from storage.clock_steps import now
from storage.session import read
from storage.tables import workers
from tests.support.life import Life
from workers.clock_watch import ClockWatch

HOUR_S = 3600.0
LEASE_S = 60.0


def test_what_was_due_before_the_clock_was_set_back_is_due_again(life: Life) -> None:
    # given jobs from an hour to come: one that waits, one that was rung for, one that waits for another attempt
    fresh, rung, again, asked = (life.submit() for _ in range(4))
    ahead = moment(HOUR_S)
    life.set(fresh, created_at=ahead, ready_at=ahead)
    life.set(rung, created_at=ahead, ready_at=ahead, rung_at=ahead)
    life.set(again, token=1, attempts=1, ready_at=moment(HOUR_S + 200))
    # and one whose caller wants it held back until tomorrow
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    life.set(asked, created_at=ahead, ready_at=tomorrow)
    worker = life.worker()
    assert life.claim(worker, fresh, rung, again, asked) == []
    # when a dispatcher starts and looks
    freed = ClockWatch(life.engine, LEASE_S).look()
    # then all but that one may run, and want a doorbell
    assert freed == 3
    assert {life.row(job).rung_at for job in (fresh, rung, again)} == {None}
    assert {job.id for job in life.claim(worker, fresh, rung, again, asked)} == {fresh, rung, again}
    assert abs((life.row(asked).ready_at - tomorrow).total_seconds()) < 0.01


def test_a_step_under_a_running_dispatcher_is_seen_by_its_own_clock_and_shortens_dead_leases(life: Life) -> None:
    # given a dispatcher that has looked, and a worker that died with a lease
    ran = [1000.0]
    watch = ClockWatch(life.engine, LEASE_S, monotonic=lambda: ran[0])
    assert watch.look() == 0
    dead = life.worker(lease_s=HOUR_S)
    # when an hour passes by its own clock and none by the database's
    ran[0] += HOUR_S
    watch.look()
    # then the lease ends when it would have
    until = read(
        life.engine, lambda c: c.execute(select(workers.c.lease_until).where(workers.c.id == dead)).scalar_one()
    )
    assert 0 < (until - read(life.engine, now)).total_seconds() <= LEASE_S


def test_a_clock_that_goes_on_or_jumps_ahead_changes_nothing(life: Life, engine: Engine) -> None:
    # given a job that is held back, and a dispatcher that has looked
    ran = [1000.0]
    watch = ClockWatch(engine, LEASE_S, monotonic=lambda: ran[0])
    held_back = life.submit(not_before=datetime.now(UTC) + timedelta(hours=2))
    watch.look()
    # when little time passed by its own clock, or none at all, which is a jump ahead of the database's
    for passed in (0.0, 0.5, -HOUR_S):
        ran[0] += passed
        # then nothing is touched
        assert watch.look() == 0
    assert life.claim(life.worker(), held_back) == []


def test_an_answer_that_took_its_time_is_no_step_back(life: Life) -> None:
    # given a job that waits for another attempt
    waits = life.submit()
    life.set(waits, token=1, attempts=1, ready_at=moment(HOUR_S))
    # when a dispatcher stands still for a minute between asking for the time and taking the answer
    ran = iter([1000.0, 1000.0, 1000.5, 1060.5, 1061.0, 1061.0])
    watch = ClockWatch(life.engine, LEASE_S, monotonic=lambda: next(ran))
    # then it takes that for nothing else, at that look and at the next
    assert [watch.look() for _ in range(3)] == [0, 0, 0]
