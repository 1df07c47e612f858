"""Promotions and rollbacks while models are loaded: the real residency, database and files, with a toy family."""

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine

from domain.errors import ModelUnavailable, StorageUnavailable
from storage.claims import ClaimedJob
from storage.promotions import rollback
from storage.session import write
from storage.settings import Settings
from tests.support import versioned
from tests.support.revisions import WHY
from tests.support.versioned import NAME, WEIGHTS, row, served, trained
from tests.support.waiting import eventually
from workers.device import Census, Device
from workers.models import family
from workers.models.family import Model
from workers.registered import home, locating
from workers.registry import ModelSpec, Profile, Registry
from workers.renewing import AGAIN_S, Renewing, renewing
from workers.residency import Residency
from workers.vision import JobVision

BOUND_S = 10.0


@dataclass
class Worker:
    """The models of a worker, its registered row, and a gate through which every load goes."""

    residency: Residency
    row: ModelSpec
    gate: threading.Event = field(default_factory=threading.Event)
    loading: threading.Event = field(default_factory=threading.Event)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.gate.set()
        self.renewing = Renewing([self.row], self.residency, clock=lambda: self.now)

    def ask(self) -> tuple[str, str]:
        """Be a job that asks once; return what was found, and the revision that the answer's provenance names."""
        job = ClaimedJob(uuid4(), 1, "acme", "inspection", "standard", {}, (), 0, False, None)
        registry = Registry(Profile(models=(self.row,)))
        vision = JobVision(job, 1, math.inf, registry, self.residency, lambda: None)
        [found] = vision.detect(vision.picture("0", np.zeros((8, 8, 3), np.uint8)), model=self.row.name)
        [call] = vision.calls
        return found.label, call.revision


@pytest.fixture
def worker(engine: Engine, settings: Settings) -> Iterator[Worker]:
    """A worker with nothing loaded."""
    versioned.closed.clear()
    census = Census()
    device = Device("cpu", lambda jobs, limit_s: nullcontext(), pytest.fail, census=census)
    one: Worker

    def load(spec: ModelSpec) -> Model:
        one.loading.set()
        assert one.gate.wait(BOUND_S)
        return family.load(spec)

    residency = Residency(lambda name: device, lambda spec: load, located=locating(engine, settings.data))
    one = Worker(residency, row())
    yield one
    one.gate.set()
    device.close()


def test_what_is_promoted_answers_and_the_answer_names_it(worker: Worker, settings: Settings) -> None:
    # given a revision that is served, and one that is not
    revision = served(settings, "pit")
    trained(settings, "dent")
    # when a job asks
    # then the served one answers, under its own name
    assert worker.ask() == ("pit", revision.revision)


def test_a_promotion_is_noticed_while_the_model_is_loaded(worker: Worker, settings: Settings) -> None:
    # given a loaded revision
    served(settings, "pit")
    worker.ask()
    # when another is promoted, and the worker looks
    second = served(settings, "dent")
    before = worker.ask()[0]
    worker.renewing.look()
    # then it answers, and the one before has left
    assert (before, worker.ask()) == ("pit", ("dent", second.revision))
    assert versioned.closed == ["pit"]


def test_a_rollback_is_noticed_as_well(worker: Worker, engine: Engine, settings: Settings) -> None:
    # given a second revision, loaded
    first = served(settings, "pit")
    served(settings, "dent")
    worker.ask()
    # when it is rolled back, and the worker looks twice
    write(engine, rollback, NAME, WHY)
    worker.renewing.look()
    worker.renewing.look()
    # then the first one answers, and was loaded once
    assert worker.ask() == ("pit", first.revision)
    assert [(tally.loads, tally.evictions, tally.thrashes) for tally in worker.residency.tallies()] == [(2, 0, 0)]


def test_calls_go_on_while_the_new_one_is_loaded_and_the_old_one_leaves_with_the_last(
    worker: Worker, settings: Settings
) -> None:
    # given a loaded revision that a call holds, and a promotion whose load takes long
    served(settings, "pit")
    worker.ask()
    served(settings, "dent")
    worker.gate.clear()
    worker.loading.clear()
    with ThreadPoolExecutor(1) as pool, worker.residency.using(worker.row) as held:
        looking = pool.submit(worker.renewing.look)
        assert worker.loading.wait(BOUND_S)
        # when others ask meanwhile
        # then they are answered by what is there
        assert worker.ask()[0] == "pit"
        # when the load has ended
        worker.gate.set()
        looking.result(BOUND_S)
        # then new calls go to the new one, and the old one stays for the call that holds it
        assert worker.ask()[0] == "dent"
        assert (versioned.closed, held.model.does) == ([], "pit")  # type: ignore[attr-defined]
    worker.renewing.look()
    assert versioned.closed == ["pit"]


def test_with_nothing_promoted_the_call_says_what_to_do(worker: Worker, settings: Settings) -> None:
    # given a revision that nobody promoted
    trained(settings, "pit")
    # when a job asks
    # then it is told the command
    with pytest.raises(ModelUnavailable, match=f"sightline models promote {NAME} REVISION"):
        worker.ask()


def test_a_pinned_revision_is_served_whatever_is_promoted(worker: Worker, settings: Settings) -> None:
    # given a row that pins a revision
    first = served(settings, "pit")
    worker.row = row(first.revision)
    # when another is promoted
    served(settings, "dent")
    worker.renewing.look()
    # then the pinned one answers
    assert worker.ask() == ("pit", first.revision)


def test_a_revision_whose_files_were_changed_is_not_served(worker: Worker, settings: Settings) -> None:
    # given a promoted revision with other weights than were registered
    revision = served(settings, "pit")
    weights = home(settings.data, NAME, revision.revision) / WEIGHTS
    weights.write_text('"dent"', "utf-8")
    # when a job asks
    # then it is refused, with what it is and what it should be
    with pytest.raises(ModelUnavailable, match=f"not the pinned {revision.revision}"):
        worker.ask()


@pytest.mark.parametrize("does", ["refuse", "changed"])
def test_a_promotion_that_cannot_be_loaded_leaves_the_one_before_serving(
    worker: Worker, settings: Settings, does: str, caplog: pytest.LogCaptureFixture
) -> None:
    # given a loaded revision, and a promotion that cannot be loaded
    served(settings, "pit")
    worker.ask()
    broken = served(settings, does)
    weights = home(settings.data, NAME, broken.revision) / WEIGHTS
    if does == "changed":
        weights.write_text('"other"', "utf-8")
    # when the worker looks, twice
    worker.renewing.look()
    worker.loading.clear()
    worker.renewing.look()
    # then jobs are answered by the one before, it was said why, and the broken one is let be for a while
    assert worker.ask()[0] == "pit"
    assert "stays at the revision that it has" in caplog.text
    assert not worker.loading.is_set()
    # and it is tried again when that has passed
    worker.now += AGAIN_S
    worker.renewing.look()
    assert worker.loading.is_set()


def test_while_the_database_is_away_what_is_loaded_serves_and_the_rest_is_tried_again(
    worker: Worker, settings: Settings
) -> None:
    # given a loaded revision, and a database that does not answer
    served(settings, "pit")
    worker.ask()
    located = worker.residency.located

    def away(spec: ModelSpec) -> ModelSpec:
        raise StorageUnavailable("the database does not answer")

    worker.residency.located = away
    # when the worker looks
    # then it is told why, the loaded one answers, and one that is not loaded is for the job to try again
    with pytest.raises(StorageUnavailable):
        worker.renewing.look()
    assert worker.ask()[0] == "pit"
    with pytest.raises(StorageUnavailable), worker.residency.using(row(name="other")):
        pass
    # and the next look, with the database back, follows what was promoted meanwhile
    worker.residency.located = located
    served(settings, "dent")
    worker.renewing.look()
    assert worker.ask()[0] == "dent"


def test_what_was_never_loaded_is_not_loaded_for_a_promotion(worker: Worker, settings: Settings) -> None:
    # given a worker that was never asked
    served(settings, "pit")
    # when it looks
    worker.renewing.look()
    # then nothing was loaded
    assert not worker.loading.is_set()


def test_the_thread_goes_on_after_a_look_that_failed() -> None:
    # given a look that fails the first time, and one beside it
    closing, looks = threading.Event(), [0, 0]

    def first() -> None:
        looks[0] += 1
        if looks[0] == 1:
            raise RuntimeError("the database is away")

    def second() -> None:
        looks[1] += 1

    # when the thread runs
    thread = renewing([first, second], 0.01, closing)
    # then both are taken, again and again
    eventually(lambda: min(looks) > 2, BOUND_S, "the looks after one that failed")
    closing.set()
    thread.join(BOUND_S)
    assert not thread.is_alive()
