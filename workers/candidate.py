"""One candidate in one process: the calls that wait for it, its model, and the thread that asks it.

The thread belongs to the candidate alone. It takes a call only while no job runs in the process, and whatever comes of
it is counted and goes no further. Its priority is that of every thread: on a busy machine one of a lower priority would
be stopped while it holds the interpreter's lock, and all that run jobs would wait for it. Where a call does not return
in its time, the candidate is given up: nothing can interrupt it, so its thread is left behind, and ends if it ever
returns.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from domain.vision import Capability
from storage.shadows import AGREE, Shadow, ShadowAnswer, ShadowLoss
from workers.agreeing import COMPARED, agreement, told
from workers.memory import give_back
from workers.models.family import Ask, DeviceLost, Model, Told
from workers.overhearing import Overheard
from workers.registry import ModelSpec

log = logging.getLogger(__name__)

MOST_CALLS = 64
"""So many calls may wait for a candidate."""
MOST_TOLD = 1_000
"""So many answers are kept while the database does not take them; then the oldest are let go."""
LOOK_EVERY_S = 0.05
"""How often it is looked whether no job runs, while a call waits for that."""
IDLE_S = 60.0
"""So long without a call, and the model is unloaded."""
LOAD_LIMIT_S = 600.0


@dataclass(frozen=True)
class Means:
    """What a candidate needs of the process that it is in."""

    load: Callable[[ModelSpec], Model]
    """loads a row's model of the revision that the row names"""
    quiet: Callable[[], bool]
    """whether no job runs"""
    has_room: Callable[[ModelSpec], bool]
    """whether a row's model fits beside what is loaded"""
    clock: Callable[[], float] = time.monotonic


class Candidate:
    """A candidate for one row of the profile."""

    def __init__(self, shadow: Shadow, row: ModelSpec, means: Means) -> None:
        self.shadow, self._means = shadow, means
        self._row = row.model_copy(update={"revision": shadow.revision})
        self._changed = threading.Condition()
        self._waiting: deque[tuple[UUID, Overheard]] = deque()
        self._answers: deque[ShadowAnswer] = deque(maxlen=MOST_TOLD)
        self._losses: Counter[str] = Counter()
        self._model: Model | None = None
        self._late_at: float | None = None
        """when what runs now is overdue; None while nothing runs"""
        self._over = ""
        """why it is asked no more; empty while it is"""
        self._thread = threading.Thread(target=self._serve, name=f"candidate-{row.name}", daemon=True)
        self._thread.start()

    def wants(self, job: UUID, capability: Capability) -> bool:
        """Say whether a job is of the share, and the answers can be compared."""
        return not self._over and capability in COMPARED and of_share(job, self.shadow.share)

    def ask(self, job: UUID, call: Overheard) -> None:
        """Let a call wait for the candidate; where too many do, it is dropped."""
        if call.revision == self.shadow.revision:
            return  # it was promoted meanwhile
        with self._changed:
            if self._over or len(self._waiting) >= MOST_CALLS:
                self._losses["dropped"] += 1
                return
            self._waiting.append((job, call))
            self._changed.notify_all()

    def drop(self) -> None:
        """Count a call that was not kept for it."""
        with self._changed:
            self._losses["dropped"] += 1

    @property
    def waiting_bytes(self) -> int:
        """The memory that waiting calls take."""
        with self._changed:
            return sum(call.bytes for _, call in self._waiting)

    def take_told(self) -> tuple[list[ShadowAnswer], list[ShadowLoss]]:
        """Return what came of the calls since the last time."""
        with self._changed:
            answers, losses = list(self._answers), dict(self._losses)
            self._answers.clear()
            self._losses.clear()
        name = self._row.registered
        return answers, [ShadowLoss(name, self.shadow.revision, why, count) for why, count in losses.items()]

    def give_up_if_late(self) -> None:
        """Ask it no more where what runs has not returned in its time."""
        with self._changed:
            if self._late_at is not None and self._means.clock() > self._late_at:
                self._give_up("hung")

    def set_aside(self) -> None:
        """Unload the model where it is not being asked: a model that serves needs the room."""
        with self._changed:
            free = None if self._late_at is not None else self._take_model()
        _close(free)

    def end(self) -> None:
        """Ask it no more; its thread unloads it and ends, if it returns."""
        with self._changed:
            self._give_up("")

    def _give_up(self, loss: str) -> None:
        """End it, for a call that was lost so, or for no loss. What waits is dropped. The lock is held."""
        if self._over:
            return
        self._over = loss or "ended"
        if loss:
            self._losses[loss] += 1
            log.warning("a candidate is given up", extra={"event": "shadow.given_up", "why": loss, **self._named()})
        self._losses["dropped"] += len(self._waiting)
        self._losses += Counter()  # without the zeros
        self._waiting.clear()
        self._changed.notify_all()

    def _serve(self) -> None:
        while (taken := self._next()) is not None:
            self._ask(*taken)
        _close(self._take_model())

    def _next(self) -> tuple[UUID, Overheard] | None:
        """Wait for a call and for a moment without a job; None when it is over."""
        while not self._over:
            idle = None
            with self._changed:
                if not self._waiting:
                    idle = None if self._changed.wait(IDLE_S) else self._take_model()
                elif self._means.quiet():
                    self._late_at = self._means.clock() + LOAD_LIMIT_S
                    return self._waiting.popleft()
                else:
                    self._changed.wait(LOOK_EVERY_S)
            _close(idle)
        return None

    def _ask(self, job: UUID, call: Overheard) -> None:
        try:
            answered = self._answered(job, call)
        except BaseException as error:
            # SystemExit too: a model that raises it means nothing by it, and the process is not its to end.
            self._failed(error)
            answered = None
        with self._changed:
            self._late_at = None
            if answered is not None and not self._over:
                self._answers.append(answered)

    def _answered(self, job: UUID, call: Overheard) -> ShadowAnswer | None:
        if self._model is None:
            if not self._means.has_room(self._row):
                self.drop()
                return None
            self._model = self._means.load(self._row)
            self._run(self._model, call.ask)  # the first call of a model takes longer than any other
        value, ran_s = self._run(self._model, call.ask)
        agrees = agreement(call.ask.capability, call.answer, value)
        return ShadowAnswer(
            name=self._row.registered,
            revision=self.shadow.revision,
            served=call.revision,
            job_id=job,
            capability=call.ask.capability.value,
            agreement=agrees,
            answers={} if agrees >= AGREE else {"served": told(call.answer), "candidate": told(value)},
            batch_size=call.batch_size,
            served_ms=round(call.ran_s * 1000, 3),
            candidate_ms=round(ran_s * 1000, 3),
        )

    def _run(self, model: Model, ask: Ask) -> tuple[Any, float]:
        """Return a model's answer to one call, and how long it computed."""
        with self._changed:
            self._late_at = self._means.clock() + self._row.call_limit_s
        prepared = model.prepare(ask)
        began = self._means.clock()
        [value] = model.run([prepared])
        return value.value if isinstance(value, Told) else value, self._means.clock() - began

    def _failed(self, error: BaseException) -> None:
        facts = {"event": "shadow.failed", "reason": f"{type(error).__name__}: {error}", **self._named()}
        log.warning("a candidate failed", extra=facts)
        with self._changed:
            if self._model is None:
                self._give_up("unloadable")
            elif isinstance(error, DeviceLost):
                self._give_up("failed")
            else:
                self._losses["failed"] += 1

    def _take_model(self) -> Model | None:
        model, self._model = self._model, None
        return model

    def _named(self) -> dict[str, str]:
        return {"model": self._row.name, "revision": self.shadow.revision}


def of_share(job: UUID, share: float) -> bool:
    """Say whether a job is of a share, in [0, 1]: the same in every process, and of every larger share as well."""
    return int.from_bytes(sha256(job.bytes).digest()[:8], "big") < share * 2**64


def _close(model: Model | None) -> None:
    if model is None:
        return
    try:
        model.close()
    except Exception:
        log.exception("a candidate was not closed", extra={"event": "shadow.unclosed"})
    give_back()
