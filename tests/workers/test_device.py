"""The device's one thread, with real threads that call it."""

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.errors import DeviceOutOfMemory, ModelError
from workers.batching import Answered, Batcher, Call
from workers.device import Census, Device, Resident
from workers.models.family import Ask, DeviceLost, Prepared

BOUND_S = 10.0


@dataclass
class Doubler:
    """A model that doubles numbers, and fails as a test tells it."""

    fits: int = 1_000
    fail: Callable[[Sequence[int]], None] = lambda _: None
    gate: threading.Event = field(default_factory=threading.Event)
    batches: list[list[int]] = field(default_factory=list)
    preprocessing: str = "none/1"
    dtype: str = "none"
    classes: tuple[str, ...] = ()

    def prepare(self, ask: Ask) -> Prepared:
        return Prepared(ask.arguments["number"], "numbers", 1)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        assert self.gate.wait(BOUND_S)
        numbers = [prepared.payload for prepared in batch]
        self.batches.append(numbers)
        if len(numbers) > self.fits:
            raise DeviceOutOfMemory(f"{len(numbers)} do not fit")
        self.fail(numbers)
        return [2 * number for number in numbers]

    def close(self) -> None:
        """Nothing to release."""


@dataclass
class Bench:
    """A device with one model, and jobs in threads that ask it."""

    device: Device
    model: Doubler
    resident: Resident
    guarded: list[list[UUID]]

    def call(self, number: int) -> Call:
        """Return a call that has not been made yet."""
        return Call(Prepared(number, "numbers", 1), uuid4(), 1, float(number), time.monotonic())

    def ask(self, number: int) -> Answered:
        """Be a job that asks once and waits."""
        with self.device.census.job():
            return self.device.ask(self.resident, self.call(number)).result(BOUND_S)

    def ask_together(self, numbers: Sequence[int]) -> list[Answered | Exception]:
        """Be as many jobs, all running before the first asks."""
        together = threading.Barrier(len(numbers))

        def job(number: int) -> Answered | Exception:
            with self.device.census.job():
                together.wait(BOUND_S)
                try:
                    return self.device.ask(self.resident, self.call(number)).result(BOUND_S)
                except Exception as error:
                    return error

        with ThreadPoolExecutor(len(numbers)) as pool:
            return list(pool.map(job, numbers))


def bench_with(model: Doubler, *, max_wait_s: float, most: int) -> Iterator[Bench]:
    guarded: list[list[UUID]] = []

    @contextmanager
    def guard(jobs: Sequence[UUID], limit_s: float) -> Iterator[None]:
        guarded.append(list(jobs))
        yield

    device = Device("test", guard, died=pytest.fail)
    resident = Resident(device, "doubler", model, Batcher(most, 1_000, max_wait_s), call_limit_s=60.0)
    device.add(resident)
    yield Bench(device, model, resident, guarded)
    device.close()


@pytest.fixture
def model() -> Doubler:
    """A model whose gate is open."""
    model = Doubler()
    model.gate.set()
    return model


@pytest.fixture
def bench(model: Doubler) -> Iterator[Bench]:
    """A device that would wait long for company, so that no batch closes by time."""
    yield from bench_with(model, max_wait_s=BOUND_S, most=8)


def test_calls_of_different_threads_share_a_batch(bench: Bench) -> None:
    # given eight jobs that run
    # when each asks
    answers = bench.ask_together(range(8))
    # then one batch answered them, each with its own, and said how it went
    assert [answer.value for answer in answers if isinstance(answer, Answered)] == [2 * at for at in range(8)]
    assert bench.model.batches == [list(range(8))]
    assert {answer.batch_size for answer in answers if isinstance(answer, Answered)} == {8}
    assert [len(jobs) for jobs in bench.guarded] == [8]


def test_a_lone_job_waits_for_nobody(bench: Bench) -> None:
    # given one job, and batches that may wait for ten seconds
    begun = time.monotonic()
    # when it asks
    answered = bench.ask(21)
    # then nobody else can join, and it is answered at once
    assert answered.value == 42
    assert time.monotonic() - begun < BOUND_S / 4


def test_a_job_that_waits_for_one_device_is_waited_for_by_no_other() -> None:
    # given two devices of one process, a job whose call runs on the first, and batches that may wait for ten seconds
    census = Census()
    slow, quick = Doubler(), Doubler()
    quick.gate.set()
    benches = []
    for model in (slow, quick):
        device = Device("test", lambda jobs, limit_s: nullcontext(), died=pytest.fail, census=census)
        benches.append(Bench(device, model, Resident(device, "m", model, Batcher(8, 1_000, BOUND_S), 60.0), []))
        device.add(benches[-1].resident)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(benches[0].ask, 1)
        while not census.waiting:
            time.sleep(0.001)
        # when another job asks the second device
        begun = time.monotonic()
        assert benches[1].ask(21).value == 42
        # then nobody else could join it there, and it was answered at once
        assert time.monotonic() - begun < BOUND_S / 4
        assert not waiting.done()
        slow.gate.set()
        assert waiting.result(BOUND_S).value == 2
    for bench in benches:
        bench.device.close()


def test_a_waiting_call_goes_when_the_job_that_might_have_joined_ends(bench: Bench) -> None:
    # given a job that waits because another one runs
    other_runs, asked = threading.Event(), threading.Event()

    def other() -> None:
        with bench.device.census.job():
            other_runs.set()
            assert asked.wait(BOUND_S)

    with ThreadPoolExecutor(1) as pool, bench.device.census.job():
        ending = pool.submit(other)
        assert other_runs.wait(BOUND_S)
        answer = bench.device.ask(bench.resident, bench.call(1))
        assert not answer.done()
        # when the other ends without asking
        asked.set()
        ending.result(BOUND_S)
        # then the call goes at once
        begun = time.monotonic()
        assert answer.result(BOUND_S).value == 2
        assert time.monotonic() - begun < BOUND_S / 4


@pytest.mark.guard("batch: a failing batch is bisected")
def test_one_bad_call_fails_alone(bench: Bench) -> None:
    # given a model that fails on the number 5
    def fail(numbers: Sequence[int]) -> None:
        if 5 in numbers:
            raise ValueError("five")

    bench.model.fail = fail
    # when it comes in a batch of eight
    answers = bench.ask_together(range(8))
    # then it fails alone, with a typed error that names the model; the others have their answers
    assert [getattr(answer, "value", None) for answer in answers] == [0, 2, 4, 6, 8, None, 12, 14]
    assert isinstance(answers[5], ModelError)
    assert "doubler" in str(answers[5])
    assert "five" in str(answers[5])
    # and the jobs of each part were noted apart
    assert [len(jobs) for jobs in bench.guarded] == [8, 4, 4, 2, 1, 1, 2]


def test_a_typed_error_of_the_model_is_passed_on(bench: Bench) -> None:
    # given a model that says what is wrong
    def fail(numbers: Sequence[int]) -> None:
        raise ModelError("the prompt is too long")

    bench.model.fail = fail
    # when it is asked
    # then the job hears exactly that
    with pytest.raises(ModelError, match=r"^the prompt is too long$"):
        bench.ask(1)


def test_when_memory_runs_out_the_batch_is_halved_and_the_size_remembered(bench: Bench) -> None:
    # given a device on which three fit
    bench.model.fits = 3
    # when eight come
    answers = bench.ask_together(range(8))
    # then all are answered, in parts that fit
    assert [getattr(answer, "value", None) for answer in answers] == [2 * at for at in range(8)]
    assert [len(batch) for batch in bench.model.batches] == [8, 4, 2, 2, 4, 2, 2]
    # and the next eight do not run out again
    bench.model.batches.clear()
    bench.ask_together(range(8))
    assert {len(batch) for batch in bench.model.batches} == {2}


def test_a_call_that_does_not_fit_alone_fails_with_what_it_was(bench: Bench) -> None:
    # given a device on which nothing fits
    bench.model.fits = 0
    # when a job asks
    # then it hears that memory ran out, which a retry can help
    with pytest.raises(DeviceOutOfMemory) as failed:
        bench.ask(1)
    assert failed.value.retryable


def test_the_wrong_number_of_answers_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a model that gives one answer to whatever it is asked
    monkeypatch.setattr(bench.model, "run", lambda batch: [1, 2])
    # when it is asked
    # then nobody gets another's answer
    with pytest.raises(ModelError, match="2 answers to 1 calls"):
        bench.ask(1)


def test_a_call_taken_back_never_runs(bench: Bench) -> None:
    # given a job that waits for company
    with bench.device.census.job(), bench.device.census.job():
        call = bench.call(7)
        answer = bench.device.ask(bench.resident, call)
        # when it is stopped
        bench.device.withdraw(bench.resident, call)
        # then its call is gone, and nobody counts it as waiting
        with pytest.raises(CancelledError):
            answer.result(BOUND_S)
        assert bench.device.census.waiting == 0
        # and taking it back again does no harm
        bench.device.withdraw(bench.resident, call)
        assert bench.device.census.waiting == 0
    assert bench.ask(1).value == 2
    assert bench.model.batches == [[1]]


def test_a_call_that_runs_already_cannot_be_taken_back(model: Doubler) -> None:
    # given a call on the device
    model.gate.clear()
    for bench in bench_with(model, max_wait_s=0.0, most=1):
        with bench.device.census.job():
            call = bench.call(3)
            answer = bench.device.ask(bench.resident, call)
            while bench.resident.batcher.waiting:
                time.sleep(0.001)
            # when it is taken back
            bench.device.withdraw(bench.resident, call)
            model.gate.set()
            # then it is answered all the same
            assert answer.result(BOUND_S).value == 6
            assert bench.device.census.waiting == 0


def test_many_jobs_with_many_calls_each_get_their_own_answers(model: Doubler) -> None:
    # given sixteen jobs that each ask twenty times, on a model that fails on every seventh number
    def fail(numbers: Sequence[int]) -> None:
        if any(number % 7 == 0 for number in numbers):
            raise ValueError("a seventh")

    model.fail = fail
    for bench in bench_with(model, max_wait_s=0.002, most=4):

        def job(at: int, bench: Bench = bench) -> list[int | None]:
            found: list[int | None] = []
            with bench.device.census.job():
                for number in range(at * 20, at * 20 + 20):
                    try:
                        found.append(bench.device.ask(bench.resident, bench.call(number)).result(BOUND_S).value)
                    except ModelError:
                        found.append(None)
            return found

        # when they all run
        with ThreadPoolExecutor(16) as pool:
            answers = [answer for part in pool.map(job, range(16)) for answer in part]
        # then each has its own, no batch was too large, and nobody is counted as there any more
        assert answers == [None if number % 7 == 0 else 2 * number for number in range(320)]
        assert max(len(batch) for batch in model.batches) <= 4
        assert (bench.device.census.running, bench.device.census.waiting) == (0, 0)


@pytest.mark.guard("poison: whatever a model raises")
@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(), RecursionError()],
    ids=lambda e: type(e).__name__,
)
def test_whatever_a_model_raises_fails_its_own_call_alone(bench: Bench, error: BaseException) -> None:
    # given a model that raises what is no ordinary exception over one of four numbers
    def fail(numbers: Sequence[int]) -> None:
        if 3 in numbers:
            raise error

    bench.model.fail = fail
    # when all four are asked together
    answers = bench.ask_together([1, 2, 3, 4])
    # then that one has a model's error, the others are answered, and the device's thread goes on
    assert isinstance(answers[2], ModelError)
    assert type(error).__name__ in str(answers[2])
    assert [one.value for one in (answers[0], answers[1], answers[3]) if isinstance(one, Answered)] == [2, 4, 8]


def test_a_model_that_runs_out_of_the_processs_memory_gets_smaller_batches(bench: Bench) -> None:
    # given a model whose large batches hold a lot when Python's own MemoryError comes
    held: list[weakref.ref[Lot]] = []
    still_held: list[bool] = []

    def fail(numbers: Sequence[int]) -> None:
        lot = Lot()
        still_held.extend(one() is not None for one in held)
        held.append(weakref.ref(lot))
        if len(numbers) > 1:
            raise MemoryError

    bench.model.fail = fail
    # when four are asked together
    answers = bench.ask_together([1, 2, 3, 4])
    # then each is answered alone, and nothing of a failed batch was still held when a smaller one was tried
    assert [one.value for one in answers if isinstance(one, Answered)] == [2, 4, 6, 8]
    assert not any(still_held)


class Lot:
    """What a batch needs a lot of."""


def test_a_thread_that_cannot_go_on_says_so() -> None:
    # given a device, and a clock that breaks
    told: list[str] = []
    said = threading.Event()

    def died(reason: str) -> None:
        told.append(reason)
        said.set()

    def broken() -> float:
        raise RuntimeError("no clock")

    # when its thread looks at the time
    device = Device("test", lambda jobs, limit_s: nullcontext(), died=died, clock=broken)
    device.add(Resident(device, "doubler", Doubler(), Batcher(8, 1_000, 1.0), call_limit_s=60.0))
    # then whoever can end the process is told why
    assert said.wait(5)
    assert "no clock" in told[0]


def test_a_lost_device_ends_its_thread_and_fails_no_job() -> None:
    # given a device that fails for good
    def lose(_: Sequence[int]) -> None:
        raise DeviceLost("an illegal memory access")

    ended: list[str] = []
    model = Doubler(fail=lose)
    model.gate.set()
    device = Device("test", lambda _jobs, _limit: nullcontext(), died=ended.append)
    resident = Resident(device, "doubler", model, Batcher(8, 1_000, 0.0), call_limit_s=60.0)
    device.add(resident)
    call = Call(Prepared(1, "numbers", 1), uuid4(), 1, 1.0, time.monotonic())

    # when a job asks
    answer = device.ask(resident, call)

    # then the process is told to end, and the job, unanswered, is handed on with its lease
    until = time.monotonic() + BOUND_S
    while not ended and time.monotonic() < until:
        time.sleep(0.005)
    assert [reason for reason in ended if "an illegal memory access" in reason] == ended != []
    assert not answer.done()
    device.close()
