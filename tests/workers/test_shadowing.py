"""A candidate in the shadow: real jobs, committed to a real database, beside candidates that do their worst."""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from domain.images import ImageLimits
from domain.jobs import JobState
from domain.retries import RetryPolicy
from domain.vision import Capability
from storage import shadows
from storage.jobs import get, result
from storage.revisions import Revision
from storage.session import read, write
from storage.settings import Settings
from storage.shadows import Collected, Shadow, ShadowAnswer, collected, disagreements
from storage.tables import metadata
from tests.support import versioned
from tests.support.drill import QUICK
from tests.support.life import TENANT, Life
from tests.support.system import picture
from tests.support.versioned import BOX, NAME, row, served, trained
from tests.support.waiting import eventually
from tests.support.without import NoBanks, NoConfigurations, NoMemory
from workers.candidate import MOST_CALLS, Candidate, Means, of_share
from workers.device import Census, Device
from workers.models import family
from workers.models.family import Ask
from workers.overhearing import Overheard
from workers.perform import Workshop, perform
from workers.registered import locating
from workers.registry import ModelSpec, Profile, Registry
from workers.residency import Residency
from workers.shadowing import Shadowing

BOUND_S = 10.0
SHADOWED = {"model_shadows", "shadow_answers", "shadow_losses"}


def left_behind() -> None:
    """Wait until no candidate's thread is left: one that had hung would close its model in the next test."""
    eventually(
        lambda: not any(thread.name.startswith("candidate-") for thread in threading.enumerate()),
        BOUND_S,
        "the end of every candidate's thread",
    )


@dataclass
class Worker:
    """The parts of a worker that perform and commit jobs, with a shadow beside them."""

    engine: Engine
    workshop: Workshop
    shadowing: Shadowing
    life: Life
    now: float = 0.0
    worker: UUID = field(init=False)

    def __post_init__(self) -> None:
        self.worker = self.life.worker()

    def do(self, **changes: Any) -> UUID:
        """Perform and commit one job, as a worker does."""
        job = self.life.running(self.worker, **changes)
        outcome = perform(job, self.workshop, lambda: None)
        assert outcome is not None
        assert self.life.commit(self.worker, outcome) == {job.id}
        self.shadowing.settled(job.id, committed=True)
        return job.id


@pytest.fixture
def worker(engine: Engine, settings: Settings) -> Iterator[Worker]:
    """A worker whose only model is the promoted revision of the finder, loaded at the first job."""
    versioned.hung.clear()
    versioned.released.clear()
    versioned.closed.clear()
    census = Census()
    device = Device("cpu", lambda jobs, limit_s: nullcontext(), pytest.fail, census=census)
    registry = Registry(Profile(models=(row(),), defaults={Capability.DETECT: "inspector"}))
    located = locating(engine, settings.data)
    residency = Residency(lambda name: device, located=located)
    one: Worker
    means = Means(
        load=lambda spec: family.load(located(spec)),
        quiet=lambda: not census.running,
        has_room=residency.has_room,
        clock=lambda: one.now,
    )
    shadowing = Shadowing(
        registry.registered,
        lambda: read(engine, shadows.active, [NAME]),
        lambda answers, losses: write(engine, shadows.collect, answers, losses),
        means,
    )
    workshop = Workshop(
        registry=registry,
        residency=residency,
        census=census,
        fetch=lambda sha256: picture(QUICK),
        memory=lambda tenant: NoMemory(),
        configurations=lambda tenant, application: NoConfigurations(),
        banks=lambda tenant: NoBanks(),
        guard=lambda jobs, limit_s: nullcontext(),
        patience=lambda job: nullcontext(),
        limits=ImageLimits(),
        decode_limit_s=60.0,
        retries=RetryPolicy(max_attempts=3, first_delay_s=1.0, jitter=0.0),
        random=Random(1),
        overhearing=shadowing,
    )
    one = Worker(engine, workshop, shadowing, Life(engine))
    yield one
    versioned.released.set()
    write(engine, lambda connection: connection.execute(metadata.tables["model_shadows"].delete()))
    shadowing.look()
    left_behind()
    device.close()


def kept_of_jobs(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table that a job or the API is answered from, but for what no two jobs share."""
    apart = {"id", "job_id", "worker", "lease_until", "created_at", "started_at", "ended_at", "ready_at", "rung_at"}
    timed = {"waited_ms", "ran_ms", "at"}

    def rows(connection: Any) -> dict[str, list[dict[str, Any]]]:
        return {
            name: [
                {key: value for key, value in found._mapping.items() if key not in apart | timed}
                for found in connection.execute(select(table))
            ]
            for name, table in metadata.tables.items()
            if name not in SHADOWED | {"counter_deltas"}
        }

    return read(engine, rows)


def views(engine: Engine, job: UUID) -> str:
    """Return all that the API tells of a job."""
    return str(read(engine, get, TENANT, job)) + str(read(engine, result, TENANT, job))


def gathered(worker: Worker, candidate: Revision, of: Revision) -> Collected:
    worker.shadowing.look()
    return read(worker.engine, collected, candidate, of)


@pytest.mark.parametrize(
    ("does", "losses", "calls"),
    [
        ("crack", {}, 2),
        ("raise", {"failed": 2}, 0),
        ("exit", {"failed": 2}, 0),
        ("refuse", {"unloadable": 1}, 0),
        ("hang", {"hung": 1}, 0),
    ],
)
def test_a_candidate_changes_nothing_about_a_job_whatever_it_does(
    worker: Worker, settings: Settings, does: str, losses: dict[str, int], calls: int
) -> None:
    # given a served revision, what two jobs without a candidate leave behind, and a candidate that does its worst
    live = served(settings, "pit")
    candidate = trained(settings, does)
    worker.do()
    before = kept_of_jobs(worker.engine)
    for table in ("results", "findings", "model_calls", "events", "jobs"):
        assert len(before[table]) >= 1
    write(worker.engine, shadows.cast, candidate, 1.0)
    worker.shadowing.look()
    # when two jobs are done beside it, and it has done what it does
    jobs = [worker.do(), worker.do()]
    if does == "hang":
        assert versioned.hung.wait(BOUND_S)
        worker.now += 10_000
    eventually(lambda: told(worker, candidate, live) == (calls, losses), BOUND_S, f"{losses} of a candidate")
    # then all that is kept of them is what was kept of the one before
    after = kept_of_jobs(worker.engine)
    for table, rows in before.items():
        once = rows if table in {"jobs", "results", "findings", "model_calls", "job_images", "events"} else []
        assert after[table] == rows + once + once, table
    # and nothing that the API tells of them names the candidate or its answer
    for job in jobs:
        assert live.revision in views(worker.engine, job)
        assert candidate.revision not in views(worker.engine, job)
        assert [found["label"] for found in read(worker.engine, result, TENANT, job).body["defects"]] == ["pit"]
    # and jobs go on as before
    worker.do()


def told(worker: Worker, candidate: Revision, live: Revision) -> tuple[int, dict[str, int]]:
    found = gathered(worker, candidate, live)
    return found.calls, {why: count for why, count in found.losses.items() if why != "dropped"}


def test_what_differs_is_kept_with_both_answers_and_what_agrees_is_counted(worker: Worker, settings: Settings) -> None:
    # given a candidate that finds another thing
    live, candidate = served(settings, "pit"), trained(settings, "crack")
    write(worker.engine, shadows.cast, candidate, 1.0)
    worker.shadowing.look()
    # when a job is done
    job = worker.do()
    eventually(lambda: gathered(worker, candidate, live).calls == 1, BOUND_S, "a call in the shadow")
    # then both answers are there to be looked at
    found = gathered(worker, candidate, live)
    assert (found.agreed, found.agreement, found.alone) == (0.0, 0.0, 1)
    [listed] = read(worker.engine, disagreements, candidate, live, 5)
    assert (listed.job_id, listed.served[0]["label"], listed.candidate[0]["label"]) == (job, "pit", "crack")


def test_nobody_is_asked_until_a_job_is_committed_and_none_of_a_job_that_is_not(
    worker: Worker, settings: Settings
) -> None:
    # given a candidate, and a job that was performed and not committed
    live, candidate = served(settings, "pit"), trained(settings, "crack")
    write(worker.engine, shadows.cast, candidate, 1.0)
    worker.shadowing.look()
    job = worker.life.running(worker.worker)
    assert perform(job, worker.workshop, lambda: None) is not None
    # when another job is committed
    worker.do()
    eventually(lambda: gathered(worker, candidate, live).calls == 1, BOUND_S, "a call in the shadow")
    # then the candidate was asked what that one asked, and nothing else
    [listed] = read(worker.engine, disagreements, candidate, live, 5)
    assert listed.job_id != job.id


def test_a_suspect_is_shown_to_no_candidate(worker: Worker, settings: Settings) -> None:
    # given a job that a process may have died of
    live, candidate = served(settings, "pit"), trained(settings, "crack")
    write(worker.engine, shadows.cast, candidate, 1.0)
    worker.shadowing.look()
    suspect = worker.life.submit()
    worker.life.set(suspect, suspect=True)
    [job] = worker.life.claim(worker.worker, suspect, suspects=True)
    outcome = perform(job, worker.workshop, lambda: None)
    assert outcome is not None
    assert outcome.state is JobState.SUCCEEDED
    # when it is settled, and another job after it
    worker.shadowing.settled(job.id, committed=True)
    other = worker.do()
    eventually(lambda: gathered(worker, candidate, live).calls == 1, BOUND_S, "a call in the shadow")
    # then only the other's call was asked
    assert [one.job_id for one in read(worker.engine, disagreements, candidate, live, 5)] == [other]


def test_of_a_job_that_is_let_go_nothing_is_asked(worker: Worker, settings: Settings) -> None:
    # given a job whose outcome was fenced: it runs again elsewhere, and is heard of from there
    live, candidate = served(settings, "pit"), trained(settings, "crack")
    write(worker.engine, shadows.cast, candidate, 1.0)
    worker.shadowing.look()
    job = worker.life.running(worker.worker)
    assert perform(job, worker.workshop, lambda: None) is not None
    worker.shadowing.settled(job.id, committed=False)
    # when another job is committed
    other = worker.do()
    eventually(lambda: gathered(worker, candidate, live).calls == 1, BOUND_S, "a call in the shadow")
    # then only the other's call was asked
    assert [one.job_id for one in read(worker.engine, disagreements, candidate, live, 5)] == [other]


def test_an_ended_shadow_asks_no_more_and_unloads_its_model(worker: Worker, settings: Settings) -> None:
    # given a candidate that answered
    live, candidate = served(settings, "pit"), trained(settings, "crack")
    write(worker.engine, shadows.cast, candidate, 1.0)
    worker.shadowing.look()
    worker.do()
    eventually(lambda: gathered(worker, candidate, live).calls == 1, BOUND_S, "a call in the shadow")
    # when it is ended
    write(worker.engine, shadows.end, NAME)
    worker.shadowing.look()
    # then its model goes, and no job is overheard
    eventually(lambda: versioned.closed == ["crack"], BOUND_S, "the candidate's model unloaded")
    assert not worker.shadowing.wants(uuid4(), row(), Capability.DETECT)


# One candidate by itself


def overheard(job: UUID | None = None, revision: str = "sha256:live", pixels: int = 8) -> Overheard:
    frame = np.zeros((pixels, pixels, 3), np.uint8)
    ask = Ask(Capability.DETECT, (frame,), {"min_score": 0.25})
    return Overheard(row(), ask, (), revision, batch_size=1, ran_s=0.001)


@dataclass
class Lone:
    """A candidate with means that a test sets."""

    does: str = "crack"
    quiet: bool = True
    room: bool = True
    now: float = 0.0
    loads: int = 0
    share: float = 1.0
    answers: list[ShadowAnswer] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        shadow = Shadow.model_validate(
            {"name": NAME, "revision": "sha256:new", "share": self.share, "since": "2026-01-01T00:00:00Z"}
        )
        means = Means(self.load, lambda: self.quiet, lambda spec: self.room, lambda: self.now)
        self.candidate = Candidate(shadow, row(), means)

    def load(self, spec: ModelSpec) -> versioned.Versioned:
        assert spec.revision == "sha256:new"
        self.loads += 1
        return versioned.Versioned(self.does)

    def look(self) -> None:
        answers, losses = self.candidate.take_told()
        self.answers += answers
        self.lost.update({loss.reason: loss.calls for loss in losses})

    def answered(self) -> int:
        """Return how many calls it has answered so far."""
        self.look()
        return len(self.answers)

    def losses(self) -> dict[str, int]:
        """Return what was lost so far."""
        self.look()
        return dict(self.lost)


@pytest.fixture
def lone() -> Iterator[Callable[..., Lone]]:
    """Make candidates, and end them."""
    versioned.hung.clear()
    versioned.released.clear()
    versioned.closed.clear()
    made: list[Lone] = []

    def make(**more: Any) -> Lone:
        made.append(Lone(**more))
        return made[-1]

    yield make
    versioned.released.set()
    for one in made:
        one.candidate.end()
    left_behind()


def test_while_jobs_run_nothing_is_asked_and_what_does_not_fit_is_dropped_and_counted(
    lone: Callable[..., Lone],
) -> None:
    # given a process in which a job runs
    one = lone(quiet=False)
    # when more calls come than may wait
    for _ in range(MOST_CALLS + 3):
        one.candidate.ask(uuid4(), overheard())
    # then nothing was loaded, and those that came last are counted
    assert one.losses() == {"dropped": 3}
    assert one.loads == 0
    # and when no job runs any more, the others are answered
    one.quiet = True
    eventually(lambda: one.answered() == MOST_CALLS, BOUND_S, "every call that waited")


def test_a_candidate_that_was_promoted_is_not_compared_with_itself(lone: Callable[..., Lone]) -> None:
    # given a call that the candidate answered itself, being served by then
    one = lone()
    # when it is handed on, and then one that another revision answered
    one.candidate.ask(uuid4(), overheard(revision="sha256:new"))
    one.candidate.ask(uuid4(), overheard())
    # then it was asked the second only
    eventually(lambda: one.answered() == 1, BOUND_S, "an answer")
    assert one.losses() == {}


def test_no_model_that_serves_goes_for_a_candidate(lone: Callable[..., Lone]) -> None:
    # given no room beside what is loaded
    one = lone(room=False)
    # when a call comes
    one.candidate.ask(uuid4(), overheard())
    # then it is dropped, and the candidate was not loaded
    eventually(lambda: one.losses() == {"dropped": 1}, BOUND_S, "a dropped call")
    assert one.loads == 0


def test_a_candidate_makes_room_and_comes_back(lone: Callable[..., Lone]) -> None:
    # given a candidate that is loaded and not asked
    one = lone()
    one.candidate.ask(uuid4(), overheard())
    eventually(lambda: one.answered() == 1, BOUND_S, "an answer")
    # when a model that serves needs the room
    one.candidate.set_aside()
    # then it is unloaded at once, and loaded again for the next call
    assert versioned.closed == ["crack"]
    one.candidate.ask(uuid4(), overheard())
    eventually(lambda: one.answered() == 2, BOUND_S, "another answer")
    assert one.loads == 2


def test_a_candidate_that_hangs_keeps_its_model_until_it_returns(lone: Callable[..., Lone]) -> None:
    # given a candidate that hangs, past its time
    one = lone(does="hang")
    one.candidate.ask(uuid4(), overheard())
    assert versioned.hung.wait(BOUND_S)
    one.candidate.set_aside()
    one.now += 1_000
    one.candidate.give_up_if_late()
    assert one.losses() == {"hung": 1}
    assert versioned.closed == []
    # when it returns after all
    versioned.released.set()
    # then its answer is not kept, and its model goes
    eventually(lambda: versioned.closed == ["hang"], BOUND_S, "the model unloaded")
    assert one.candidate.take_told() == ([], [])


def test_the_first_call_of_a_model_is_not_what_is_timed(lone: Callable[..., Lone]) -> None:
    # given a candidate whose clock a test sets: a call takes no time on it
    one = lone()
    # when it is asked
    one.candidate.ask(uuid4(), overheard())
    eventually(lambda: one.answered() == 1, BOUND_S, "an answer")
    # then what it took is by that clock, and the answer beside the served one's
    [answer] = one.answers
    assert (answer.candidate_ms, answer.served_ms, answer.served) == (0.0, 1.0, "sha256:live")
    assert answer.answers["candidate"][0]["box"] == BOX.model_dump()


@given(st.uuids(), st.floats(0, 1), st.floats(0, 1))
def test_who_is_of_a_share_is_of_every_larger_one(job: UUID, one: float, other: float) -> None:
    assert of_share(job, max(one, other)) or not of_share(job, min(one, other))
    assert of_share(job, 1.0)
    assert not of_share(job, 0.0)


def test_a_share_is_about_that_share_of_the_jobs() -> None:
    # given ten thousand jobs
    jobs = [UUID(int=number) for number in range(10_000)]
    # when a tenth of them is asked for
    # then about a thousand are of it: within five standard deviations
    assert abs(sum(of_share(job, 0.1) for job in jobs) - 1_000) < 5 * math.sqrt(10_000 * 0.1 * 0.9)


def test_what_cannot_be_compared_is_not_asked(lone: Callable[..., Lone]) -> None:
    # given a candidate for every job
    one = lone()
    # when it is asked about calls of two capabilities
    # then only the one whose answers can be compared is wanted
    assert one.candidate.wants(uuid4(), Capability.DETECT)
    assert not one.candidate.wants(uuid4(), Capability.EMBED)
