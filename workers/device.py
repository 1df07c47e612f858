"""One device and the one thread that owns it: it runs the batches that the batchers close, the most urgent first.

An exception in a batch of n is bisected, so that one bad call fails alone. When memory runs out the batch is halved and
tried again, and the size that fitted is remembered. Job threads wait for their answers; this thread waits for nobody.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.errors import DeviceOutOfMemory, ModelError, SightlineError
from workers.batching import Answered, Batcher, Call, next_batcher
from workers.memory import UNBOUNDED, Memory
from workers.models.family import DeviceLost, Model

log = logging.getLogger(__name__)

LONGEST_NAP_S = 0.5

Guard = Callable[[Sequence[UUID], float], AbstractContextManager[None]]
"""Notes the jobs of a device call and watches its time limit (seconds) while it runs."""


@dataclass(eq=False)
class Resident:
    """A loaded model on a device, and the calls that wait for it."""

    device: "Device"
    name: str
    model: Model
    batcher: Batcher
    call_limit_s: float
    revision: str = ""
    users: int = 0
    used_at: float = 0.0


@dataclass
class Census:
    """How many jobs run in this process and how many of them wait for an answer, to know who could still join.

    The devices of a process share one: a job that waits for one of them joins no batch of another. Its lock is theirs.
    """

    running: int = 0
    waiting: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def job(self) -> Iterator[None]:
        """Count a job as running while it does."""
        self._count(running=1)
        try:
            yield
        finally:
            self._count(running=-1)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Count a job as waiting while another machine answers it: it joins no batch here meanwhile."""
        self._count(waiting=1)
        try:
            yield
        finally:
            self._count(waiting=-1)

    def others_may_join(self) -> bool:
        """Say whether a job runs that does not wait."""
        return self.running > self.waiting

    def _count(self, *, running: int = 0, waiting: int = 0) -> None:
        with self.changed:
            self.running += running
            self.waiting += waiting
            self.changed.notify_all()


@dataclass(eq=False)
class Device:
    """A device, its memory, its models, and its thread."""

    name: str
    guard: Guard
    died: Callable[[str], None]
    """called when the thread cannot go on: without it no job would ever be answered again"""
    memory: Memory = UNBOUNDED
    census: Census = field(default_factory=Census)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._changed = self.census.changed
        self._residents: dict[Batcher, Resident] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name=f"device-{self.name}", daemon=True)
        self._thread.start()

    def add(self, resident: Resident) -> None:
        """Serve a model from now on."""
        with self._changed:
            self._residents[resident.batcher] = resident

    def remove(self, resident: Resident) -> None:
        """Serve a model no longer; nobody may be using it."""
        with self._changed:
            del self._residents[resident.batcher]

    def close(self) -> None:
        """Stop the thread as soon as no batch is ready."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=5)

    def ask(self, resident: Resident, call: Call) -> Future[Answered]:
        """Let a call join the model's next batch."""
        with self._changed:
            resident.batcher.add(call)
            self.census.waiting += 1
            self._changed.notify_all()
        return call.answer

    def withdraw(self, resident: Resident, call: Call) -> None:
        """Take back a call whose job was stopped if it still waits; tell the model if it takes many steps."""
        call.prepared.stopped.set()
        with self._changed:
            if resident.batcher.withdraw(call):
                self.census.waiting -= 1
                call.answer.cancel()

    def _serve(self) -> None:
        try:
            self._serve_on()
        except BaseException as error:
            log.exception("the device's thread ends", extra={"event": "device.died", "device": self.name})
            self.died(f"the thread of device {self.name!r} ended: {type(error).__name__}: {error}")

    def _serve_on(self) -> None:
        while True:
            with self._changed:
                closed = self._next_batch()
                while closed is None and not self._closing:
                    self._changed.wait(self._nap())
                    closed = self._next_batch()
                if closed is None:
                    return
            resident, batch = closed
            self._run(resident, batch)

    def _next_batch(self) -> tuple[Resident, list[Call]] | None:
        batcher = next_batcher(self._residents, self.clock(), others_may_join=self.census.others_may_join())
        return None if batcher is None else (self._residents[batcher], batcher.take())

    def _nap(self) -> float:
        now, more = self.clock(), self.census.others_may_join()
        closings = (batcher.closes_at(now, others_may_join=more) for batcher in self._residents)
        return min(max(min(closings, default=math.inf) - now, 0.0), LONGEST_NAP_S)

    def _run(self, resident: Resident, batch: list[Call]) -> None:
        started = self.clock()
        try:
            with self.guard([call.job for call in batch], resident.call_limit_s):
                values = resident.model.run([call.prepared for call in batch])
            if len(values) != len(batch):
                raise ModelError(f"{resident.name} gave {len(values)} answers to {len(batch)} calls")
        except DeviceOutOfMemory as error:
            short = DeviceOutOfMemory(error.message, **error.details)
        except MemoryError as error:
            short = DeviceOutOfMemory(f"{resident.name} ran out of this process's memory: {error}")
        except DeviceLost:
            raise  # the thread ends, and the process for it: the leases of its jobs hand them on
        except BaseException as error:
            # SystemExit and KeyboardInterrupt too: in this thread they mean nothing but that a model raised them, and
            # without this thread no job would be answered any more.
            self._bisect(resident, batch, error)
            return
        else:
            ran = self.clock() - started
            for call, value in zip(batch, values, strict=True):
                self._settle(call, Answered(value, len(batch), started - call.at, ran))
            return
        # Outside of the blocks above: an exception keeps what its frames held, and nothing smaller would fit either.
        self._halve(resident, batch, short)

    def _halve(self, resident: Resident, batch: list[Call], error: DeviceOutOfMemory) -> None:
        log.warning(
            "device memory ran out", extra={"event": "device.oom", "model": resident.name, "batch_size": len(batch)}
        )
        if len(batch) == 1:
            self._settle(batch[0], error)
            return
        resident.batcher.too_large(batch[0].prepared.group, len(batch))
        self._split(resident, batch)

    def _bisect(self, resident: Resident, batch: list[Call], error: BaseException) -> None:
        if len(batch) > 1:
            self._split(resident, batch)
            return
        if not isinstance(error, SightlineError):
            log.error("a model failed", exc_info=error, extra={"event": "model.failed", "model": resident.name})
            error = ModelError(f"{resident.name} failed: {type(error).__name__}: {error}")
        self._settle(batch[0], error)

    def _split(self, resident: Resident, batch: list[Call]) -> None:
        middle = len(batch) // 2
        self._run(resident, batch[:middle])
        self._run(resident, batch[middle:])

    def _settle(self, call: Call, outcome: Any) -> None:  # noqa: ANN401  (an answer or an exception)
        with self._changed:
            self.census.waiting -= 1
        if isinstance(outcome, Exception):
            call.answer.set_exception(outcome)
        else:
            call.answer.set_result(outcome)
