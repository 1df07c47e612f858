"""The lease from the worker's side."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID, uuid4

import pytest

from domain.errors import StorageUnavailable
from workers import leasing
from workers.leasing import Lease, LeaseKeeper

SOON = 10.0


@dataclass
class Office:
    """Where leases are kept: answers as told, and says when it was asked."""

    answers: list[bool | Exception] = field(default_factory=list)
    registered: list[UUID] = field(default_factory=list)
    renewals: int = 0
    asked: threading.Condition = field(default_factory=threading.Condition)

    def register(self) -> UUID:
        worker = uuid4()
        with self.asked:
            self.registered.append(worker)
            self.asked.notify_all()
        return worker

    def renew(self, worker: UUID) -> bool:
        with self.asked:
            self.renewals += 1
            self.asked.notify_all()
            answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    def until(self, condition: Callable[[], bool]) -> None:
        with self.asked:
            assert self.asked.wait_for(condition, SOON)


@contextmanager
def keeping(office: Office, lease_s: float) -> Iterator[tuple[LeaseKeeper, list[Lease]]]:
    started: list[Lease] = []
    keeper = LeaseKeeper(office.register, office.renew, lease_s, started.append)
    try:
        yield keeper, started
    finally:
        keeper.close()


@pytest.mark.guard("fence: the worker's own lease clock")
def test_a_lease_holds_until_its_time_or_until_it_is_fenced() -> None:
    # given leases that have time, that have none, and that were fenced
    # when they are asked
    # then only the first holds
    assert Lease(uuid4(), monotonic() + 60).holds()
    assert not Lease(uuid4(), monotonic() - 0.001).holds()
    assert not Lease(uuid4(), monotonic() + 60, fenced=True).holds()


def test_a_lease_is_registered_at_once_and_renewed_before_it_lapses() -> None:
    # given a keeper
    office = Office()
    with keeping(office, 0.4) as (keeper, started):
        first = keeper.lease
        assert started == [first]
        assert first.holds()
        # when several times its length has passed
        office.until(lambda: office.renewals >= 8)
        # then it is the same lease, and it holds
        assert keeper.lease is first
        assert first.holds()
    assert len(office.registered) == 1


def test_a_lease_that_cannot_be_renewed_is_fenced_and_replaced() -> None:
    # given a keeper whose lease the database has ended
    office = Office(answers=[False])
    with keeping(office, 0.4) as (keeper, started):
        first = keeper.lease
        # when it renews
        office.until(lambda: len(office.registered) == 2)
        office.until(lambda: office.renewals >= 2)
        # then what ran under the first can no longer be committed, and a new one holds
        assert not first.holds()
        assert keeper.lease is started[1]
        assert keeper.lease.holds()
        assert [lease.worker for lease in started] == office.registered


def test_a_lease_counts_from_before_the_renewal_was_sent() -> None:
    # given a renewal whose answer takes a while
    office = Office()
    with keeping(office, 0.8) as (keeper, _):
        begun = monotonic()
        office.until(lambda: office.renewals >= 1)
        # when it has come
        asked_by = monotonic()
        # then the lease does not last longer than its length from when it was asked for
        assert keeper.lease.until <= max(asked_by, begun) + 0.8


@pytest.mark.parametrize("error", [StorageUnavailable("gone"), RuntimeError("the driver's own error")])
def test_an_error_does_not_end_the_renewing(error: Exception) -> None:
    # given a database that fails once, in a way that was foreseen or not
    office = Office(answers=[error])
    with keeping(office, 0.4) as (keeper, _):
        # when it is there again
        office.until(lambda: office.renewals >= 3)
        # then the lease holds
        assert keeper.lease.holds()
    assert len(office.registered) == 1


@pytest.mark.guard("lease: a renewal that failed is tried again soon")
def test_a_renewal_that_failed_is_tried_again_sooner_than_the_next_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a renewal on a line that turned out to be dead, when much of the lease had been spent on finding out
    monkeypatch.setattr(leasing, "AGAIN_S", 0.05)
    office = Office(answers=[StorageUnavailable("no answer within 20 s")])
    with keeping(office, 4.0):
        office.until(lambda: office.renewals >= 1)
        failed = monotonic()
        # when another line would serve, then it is tried at once, not after another quarter of the lease
        office.until(lambda: office.renewals >= 2)
        assert monotonic() - failed < 0.5


def test_a_database_that_stays_away_lets_the_lease_lapse() -> None:
    # given a database that does not come back
    office = Office(answers=[StorageUnavailable("gone")] * 100)
    with keeping(office, 0.2) as (keeper, _):
        # when the lease's length has passed
        office.until(lambda: office.renewals >= 6)
        # then the worker knows by its own clock that it must not commit
        assert not keeper.lease.holds()
