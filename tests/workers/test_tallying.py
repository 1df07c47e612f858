"""Telling the database what became of a process's models: once, and no more often than something changed."""

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID, uuid4

import pytest

from domain.errors import StorageUnavailable
from storage.model_loads import ModelTally, totals
from storage.session import read
from tests.support.pairings import EMBEDDED, on
from tests.support.system import System
from tests.support.waiting import eventually
from workers.tallying import Tallying, tallying

ONCE = ModelTally("m", "cpu", 1, 0, 0, 100)


@dataclass
class Book:
    """What was told, by worker; it can be away."""

    told: list[tuple[UUID, list[ModelTally]]] = field(default_factory=list)
    away: bool = False

    def tell(self, worker: UUID, tallies: Sequence[ModelTally]) -> None:
        if self.away:
            raise StorageUnavailable("away")
        self.told.append((worker, list(tallies)))


@dataclass
class Models:
    """What a process counts."""

    now: list[ModelTally] = field(default_factory=list)

    def tallies(self) -> list[ModelTally]:
        return self.now


def test_only_what_has_changed_is_told() -> None:
    # given a process without a model
    book, models, worker = Book(), Models(), uuid4()
    tallies = Tallying(models.tallies, book.tell)
    # when it is looked at before and after a load, and again
    for models.now in ([], [ONCE], [ONCE]):
        tallies.look(worker)
    # then the load was told, once
    assert book.told == [(worker, [ONCE])]


def test_what_could_not_be_told_is_told_the_next_time() -> None:
    # given a database that is away
    book, worker = Book(away=True), uuid4()
    tallies = Tallying(Models([ONCE]).tallies, book.tell)
    tallies.look_if_possible(worker)
    # when it is back
    book.away = False
    tallies.look_if_possible(worker)
    # then it is told
    assert book.told == [(worker, [ONCE])]


@pytest.mark.parametrize("away", [False, True], ids=["at once", "when the database is back"])
def test_under_a_new_lease_only_what_came_since_is_counted_again(away: bool) -> None:
    # given a process that told of two loads, whose lease lapsed
    book, old, new = Book(), uuid4(), uuid4()
    models = Models([ONCE._replace(loads=2, evictions=1)])
    tallies = Tallying(models.tallies, book.tell)
    tallies.look(old)
    # when it goes on under another
    book.away = away
    tallies.look_if_possible(new)
    book.away = False
    models.now = [ONCE._replace(loads=3, evictions=2, thrashes=1), ONCE._replace(model="other")]
    tallies.look(new)
    # then the two rows together say what it counted, and the new one what it holds
    assert book.told[-1] == (new, [ModelTally("m", "cpu", 1, 1, 1, 100), ONCE._replace(model="other")])
    # and what it holds is told under the new lease even where nothing else has changed
    assert len(book.told) == (2 if away else 3)


def test_the_thread_tells_once_more_at_the_end() -> None:
    # given a thread that would look again in an hour
    book, models, worker, closing = Book(), Models(), uuid4(), threading.Event()
    thread = tallying(Tallying(models.tallies, book.tell), lambda: worker, 3600.0, closing)
    models.now = [ONCE]
    # when the worker leaves
    begun = time.monotonic()
    closing.set()
    thread.join(10)
    # then what it counted is told, at once
    assert book.told == [(worker, [ONCE])]
    assert time.monotonic() - begun < 5


@pytest.mark.service
@on(EMBEDDED)
def test_a_worker_tells_of_what_it_preloaded_and_its_counts_outlive_it(one: System) -> None:
    # given a worker whose profile preloads a model
    worker = one.start("worker")
    told = partial(read, one.engine, totals)
    # when it serves
    eventually(told, 30, "its models are told of")
    # then the load is told, and still is when the worker has left, together with one of its successor
    assert [(tally.model, tally.device, tally.loads) for tally in told()] == [("drill", "cpu", 1)]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert [(tally.loads, tally.resident_bytes) for tally in told()] == [(1, 0)]
    one.start("worker")
    eventually(lambda: [tally.loads for tally in told()] == [2], 30, "the successor's load is added")
