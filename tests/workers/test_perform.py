"""One job from its claim to its outcome, through the real application, decoder, batcher and a drilled model."""

import io
import math
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from domain.applications import application
from domain.applications.revising import MAX_BODY_BYTES, storable
from domain.errors import ImageMissing, NotFound, ResultRefused, StorageUnavailable
from domain.images import ImageLimits
from domain.jobs import JobState
from domain.retries import RetryPolicy
from storage.claims import ClaimedJob, Outcome
from tests.support.drill import QUICK, RAISE, SLOW
from tests.support.poison import Poison
from tests.support.system import picture
from tests.support.without import NoBanks, NoConfigurations, NoMemory
from workers.device import Device
from workers.perform import Workshop, perform
from workers.registry import load_profile
from workers.residency import Residency

DRILL = Path(__file__).parents[1] / "support" / "drill.toml"


class Shelf(dict[str, Any]):
    """Images by their hash; an exception in an image's place is raised."""

    def fetch(self, sha256: str) -> bytes:
        found = self[sha256]
        if isinstance(found, Exception):
            raise found
        return bytes(found)


@pytest.fixture
def shelf() -> Shelf:
    """One picture that is answered at once."""
    return Shelf(good=picture(QUICK))


@pytest.fixture
def workshop(shelf: Shelf) -> Iterator[Workshop]:
    """A worker's workshop with the drill as its only model."""
    device = Device("cpu", guard=lambda jobs, limit_s: nullcontext(), died=pytest.fail)
    yield Workshop(
        registry=load_profile(str(DRILL)),
        residency=Residency(lambda name: device),
        census=device.census,
        fetch=shelf.fetch,
        memory=lambda tenant: NoMemory(),
        configurations=lambda tenant, application: NoConfigurations(),
        banks=lambda tenant: NoBanks(),
        guard=lambda jobs, limit_s: nullcontext(),
        patience=lambda job: nullcontext(),
        limits=ImageLimits(),
        decode_limit_s=60.0,
        retries=RetryPolicy(max_attempts=3, first_delay_s=1.0, jitter=0.0),
        random=Random(1),
    )
    device.close()


def job(*images: str, attempts: int = 0, **changes: Any) -> ClaimedJob:
    told = ClaimedJob(uuid4(), 1, "acme", "inspection", "standard", {}, images or ("good",), attempts, False, None)
    return replace(told, **changes)


def run(one: ClaimedJob, workshop: Workshop) -> Outcome:
    outcome = perform(one, workshop, lambda: None)
    assert outcome is not None
    assert outcome.job is one
    return outcome


def test_a_job_succeeds_with_its_result_findings_pictures_and_calls(workshop: Workshop) -> None:
    # given a job of one picture
    # when it is performed
    outcome = run(job(), workshop)
    # then there is everything that a commit stores
    assert (outcome.state, outcome.version) == (JobState.SUCCEEDED, application("inspection").version)
    assert [finding.kind for finding in outcome.findings] == ["pit"]
    assert outcome.pictures == ({"width": 32, "height": 32, "orientation": 1},)
    assert outcome.headline
    [call] = outcome.calls
    assert (call.capability, call.model, call.revision, call.device) == ("detect", "drill", "1", "cpu")
    assert (call.preprocessing, call.batch_size) == ("none/1", 1)
    assert outcome.error_code is None
    assert len(outcome.body["defects"]) == 1


def test_a_pictures_orientation_is_undone_and_told(workshop: Workshop, shelf: Shelf) -> None:
    # given a picture that lies on its side
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.new("RGB", (40, 20)).save(out, "JPEG", exif=exif)
    shelf["side"] = out.getvalue()
    # when it is inspected
    # then it was seen upright, and says what was undone
    assert run(job("side"), workshop).pictures == ({"width": 20, "height": 40, "orientation": 6},)


@pytest.mark.parametrize(
    ("image", "code", "state"),
    [
        (b"", "image_unreadable", JobState.FAILED),
        (b"not a picture", "image_unreadable", JobState.FAILED),
        (picture(QUICK)[:60], "image_unreadable", JobState.FAILED),
        (picture(RAISE), "model_error", JobState.FAILED),
        (NotFound("the image is gone"), "not_found", JobState.FAILED),
        (ImageMissing("the image is lost"), "image_missing", JobState.QUEUED),
        (ZeroDivisionError("a fault of ours"), "run_crashed", JobState.QUEUED),
    ],
)
def test_each_error_ends_or_retries_its_own_job(
    workshop: Workshop, shelf: Shelf, image: object, code: str, state: JobState
) -> None:
    # given a job that cannot succeed
    shelf["bad"] = image
    # when it is performed
    outcome = run(job("bad"), workshop)
    # then it says why, stores nothing, and is tried again only where that can help
    assert (outcome.error_code, outcome.state) == (code, state)
    assert outcome.error_message
    assert (outcome.body, outcome.findings, outcome.calls) == ({}, (), ())
    assert outcome.delay_s == (1.0 if state is JobState.QUEUED else 0.0)


@pytest.mark.guard("poison: whatever a job's own thread raises")
def test_an_exception_that_nobody_hears_costs_an_attempt_like_any_other(workshop: Workshop, shelf: Shelf) -> None:
    # given a library that ends Python's thread while it prepares a picture
    shelf["exits"] = picture(Poison.EXIT_IN_PREPARING)
    # when the job is performed
    outcome = run(job("exits"), workshop)
    # then it is tried again, and not for ever
    assert (outcome.state, outcome.error_code) == (JobState.QUEUED, "run_crashed")
    assert "SystemExit" in str(outcome.error_message)
    assert run(job("exits", attempts=2), workshop).state is JobState.DEAD


def test_the_last_attempt_that_a_retry_could_have_helped_is_dead(workshop: Workshop, shelf: Shelf) -> None:
    # given a job whose image is lost
    shelf["bad"] = ImageMissing("lost")
    # when it has two attempts behind it, of three
    outcomes = [run(job("bad", attempts=attempts), workshop) for attempts in range(3)]
    # then it backs off, and then it is dead
    assert [outcome.state for outcome in outcomes] == ["queued", "queued", "dead"]
    assert [outcome.delay_s for outcome in outcomes] == [1.0, 3.0, 0.0]
    assert all(outcome.costs_attempt for outcome in outcomes)


def test_an_image_store_that_is_away_returns_the_job_without_an_attempt(workshop: Workshop, shelf: Shelf) -> None:
    # given a job at its last attempt, whose image store is away
    shelf["bad"] = StorageUnavailable("away")
    # when it is performed
    outcome = run(job("bad", attempts=2), workshop)
    # then it waits for a while, says why, and nothing is used up
    assert (outcome.state, outcome.delay_s, outcome.costs_attempt) == (JobState.QUEUED, 10.0, False)
    assert outcome.error_code == "storage_unavailable"


def test_parameters_that_were_accepted_by_an_older_version_fail_the_job_alone(workshop: Workshop) -> None:
    # given a job whose parameters no longer exist
    # when it is performed
    outcome = run(job(params={"colour": "red"}), workshop)
    # then it failed for good and says which
    assert (outcome.state, outcome.error_code) == (JobState.FAILED, "invalid_parameters")
    assert "colour" in str(outcome.error_message)


@pytest.mark.parametrize("reason", ["cancelled", "superseded"])
def test_a_checkpoint_ends_the_run(workshop: Workshop, reason: str) -> None:
    # given a job that was asked to stop
    # when it comes to its first checkpoint
    outcome = perform(job(), workshop, lambda: reason)
    # then that is its outcome, without an error
    assert outcome is not None
    assert (outcome.state, outcome.error_code, outcome.body) == (JobState(reason), None, {})


def test_a_fenced_job_says_nothing(workshop: Workshop) -> None:
    # given a job whose lease has lapsed
    # when it comes to a checkpoint
    # then nothing may be said of it
    assert perform(job(), workshop, lambda: "fenced") is None


def test_a_cancel_during_a_model_call_is_confirmed_after_it(workshop: Workshop, shelf: Shelf) -> None:
    # given a job in a call of half a second
    shelf["slow"] = picture(SLOW)
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    # when its cancel is asked for meanwhile
    outcome = perform(job("slow"), workshop, lambda: "cancelled" if stop.is_set() else None)
    timer.join()
    # then it ends cancelled, though the model had an answer
    assert outcome is not None
    assert outcome.state is JobState.CANCELLED


def test_nobody_counts_as_running_or_waiting_afterwards(workshop: Workshop, shelf: Shelf) -> None:
    # given jobs that end in every way
    shelf["raise"] = picture(RAISE)
    for one in (job(), job("raise"), job("missing")):
        perform(one, workshop, lambda: None)
    perform(job(), workshop, lambda: "cancelled")
    # when the device is asked
    census = workshop.census
    # then it waits for nobody
    assert (census.running, census.waiting) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [{"a": math.nan}, {"a": [math.inf]}, {"a": "x\x00y"}, {"a\x00": 1}, {"a": {1, 2}}, {"a": "\\\x00"}],
)
def test_what_no_database_can_store_is_refused(body: dict[str, Any]) -> None:
    # given a body with NaN, infinity, NUL, or what is not JSON
    # when it is checked
    # then it is refused
    with pytest.raises(ResultRefused):
        storable(body)


@pytest.mark.parametrize("body", [{}, {"a": "ünï", "b": [1, 2.5, None]}, {"a": "a text that says \\u0000"}])
def test_what_every_database_can_store_is_passed_on(body: dict[str, Any]) -> None:
    # given a body that is JSON, even one that speaks of NUL
    # when it is checked
    # then it is as it was
    assert storable(body) is body


@pytest.mark.guard("poison: results are bounded")
def test_a_result_larger_than_its_bound_is_refused_and_one_within_it_is_not() -> None:
    # given texts that make a body just within its bound, and one byte over it
    around = len('{"text": ""}')
    within = {"text": "x" * (MAX_BODY_BYTES - around)}
    # then the first passes, and the second is refused with both figures
    assert storable(within) is within
    with pytest.raises(ResultRefused, match=f"{MAX_BODY_BYTES + 1} bytes as JSON; at most {MAX_BODY_BYTES}"):
        storable({"text": "x" * (MAX_BODY_BYTES - around + 1)})
