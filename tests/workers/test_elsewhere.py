"""Models that another machine computes: their calls hold up nobody here, and are dropped when nobody wants them."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from domain.errors import ModelUnavailable, RunStopped
from domain.vision import Answer, Capability
from storage.claims import ClaimedJob
from workers.device import Device
from workers.models.family import Ask, Prepared, ScoreKind, Told
from workers.registry import ModelSpec, Profile, Registry
from workers.residency import Residency
from workers.vision import JobVision


@dataclass
class Far:
    """Answers when a test says so, somewhere else."""

    sent: list[tuple[Prepared, Future[Any]]] = field(default_factory=list)
    preprocessing: str = "none/1"
    dtype: str = "none"
    device: str = "elsewhere"
    scores: ScoreKind = ScoreKind.NONE
    classes: tuple[str, ...] = ()

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(ask.arguments["question"], "far", 1)

    def submit(self, prepared: Prepared) -> Future[Any]:
        answer: Future[Any] = Future()
        self.sent.append((prepared, answer))
        return answer

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        raise AssertionError("it is never asked on the device's thread")

    def close(self) -> None:
        """Nothing to release."""


class Near(Far):
    """Answers at once, here."""

    submit = None  # type: ignore[assignment]

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        return [Answer(text="near") for _ in batch]


def spec(name: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        family=name,
        capabilities=(Capability.ASK,),
        source="x",
        revision="1",
        licence="none",
        max_wait_ms=5_000,
    )


@dataclass
class Room:
    """A device with a near and a far model, and jobs that ask them."""

    far: Far
    residency: Residency
    stopped: str | None = None

    def ask(self, model: str) -> tuple[Answer, JobVision]:
        job = ClaimedJob(uuid4(), 1, "acme", "vision", "standard", {}, (), 0, suspect=False, deadline_in_s=None)
        registry = Registry(Profile(models=(spec("far"), spec("near"))))
        vision = JobVision(job, 1, math.inf, registry, self.residency, lambda: self.stopped)
        picture = vision.picture("0", np.zeros((4, 4, 3), dtype=np.uint8))
        with self.residency.devices["cpu"].census.job():
            return vision.ask([picture], "what?", model=model), vision

    def asked(self, count: int) -> None:
        until = time.monotonic() + 10
        while len(self.far.sent) < count:
            assert time.monotonic() < until, "it was sent"
            time.sleep(0.005)


@pytest.fixture
def room() -> Iterator[Room]:
    far = Far()
    device = Device("test", guard=lambda _jobs, _limit: nullcontext(), died=lambda reason: None)
    loaded = {"far": far, "near": Near()}
    yield Room(far, Residency(lambda name: device, lambda _: lambda told: loaded[told.name]))
    device.close()


def test_a_far_answer_is_waited_for_without_the_devices_thread_or_a_batch(room: Room) -> None:
    with ThreadPoolExecutor(2) as jobs:
        # given two jobs that wait for a far model
        waiting = [jobs.submit(room.ask, "far") for _ in range(2)]
        room.asked(2)
        # when another asks a model that is here, then it is answered at once: nobody else can join its batch
        begun = time.monotonic()
        near, _ = room.ask("near")
        assert near.text == "near"
        assert time.monotonic() - begun < 2
        # and each far answer is given to its own job, and recorded
        for number, (_, answer) in enumerate(room.far.sent):
            answer.set_result(Answer(text=str(number)))
        told = [one.result(10) for one in waiting]
    assert {answer.text for answer, _ in told} == {"0", "1"}
    assert [call.batch_size for _, vision in told for call in vision.calls] == [1, 1]
    assert room.residency.devices["cpu"].census.waiting == 0


def test_what_an_answer_says_of_its_scores_is_recorded_before_what_its_model_says(room: Room) -> None:
    with ThreadPoolExecutor(2) as jobs:
        waiting = [jobs.submit(room.ask, "far") for _ in range(2)]
        room.asked(2)
        (_, shares), (_, plain) = room.far.sent
        shares.set_result(Told(Answer(text="yes", score=0.7), {"cut_tokens": 2}, scores=ScoreKind.SOFTMAX))
        plain.set_result(Told(Answer(text="yes"), {}))
        told = [one.result(10) for one in waiting]

    recorded = sorted((call.scores, call.remarks) for _, vision in told for call in vision.calls)
    assert recorded == [("none", {}), ("softmax", {"cut_tokens": 2})]


def test_a_far_models_error_is_the_jobs(room: Room) -> None:
    threading.Thread(
        target=lambda: (room.asked(1), room.far.sent[0][1].set_exception(ModelUnavailable("it is away")))
    ).start()
    with pytest.raises(ModelUnavailable, match="it is away"):
        room.ask("far")
    assert room.residency.devices["cpu"].census.waiting == 0


class Late(Future[Any]):
    """An answer that comes in the very moment in which somebody gives up waiting for it."""

    def result(self, timeout: float | None = None) -> Any:
        return self._late(timeout, super().result)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return self._late(timeout, super().exception)  # type: ignore[no-any-return]

    def _late(self, timeout: float | None, look: Callable[[float | None], Any]) -> Any:
        try:
            return look(timeout)
        except TimeoutError:
            if not self.done():
                self.set_result(Answer(text="late"))
            raise


def test_an_answer_that_comes_just_after_a_pause_is_no_time_out(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.far, "submit", lambda prepared: Late())
    told, _ = room.ask("far")
    assert told.text == "late"


def test_a_far_models_own_time_out_is_an_error_of_the_job(room: Room) -> None:
    def fail() -> None:
        room.asked(1)
        room.far.sent[0][1].set_exception(TimeoutError("far"))

    threading.Thread(target=fail).start()
    with pytest.raises(TimeoutError, match="far"):
        room.ask("far")


def test_a_job_that_is_stopped_tells_the_far_model_so(room: Room) -> None:
    def stop() -> None:
        room.asked(1)
        room.stopped = "cancelled"
        prepared, answer = room.far.sent[0]
        assert prepared.stopped.wait(10)
        answer.set_result(None)

    threading.Thread(target=stop).start()
    with pytest.raises(RunStopped):
        room.ask("far")
