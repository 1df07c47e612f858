"""What is loaded, and what is evicted to make room.

Loading happens in the thread of the job that needs the model, one load at a time, while the device's thread goes on
answering for the models that are there. Memory is measured around each load, not guessed. Eviction takes the least
recently used model that nobody uses. Two models that do not fit together are thrown out by turns: `loads` tells of it.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from domain.errors import ModelUnavailable
from workers.batching import Batcher
from workers.device import Device, Resident
from workers.memory import resident_bytes
from workers.models.family import Model
from workers.registry import ModelSpec

log = logging.getLogger(__name__)

ROOM = 0.1
"""The share of the budget that an eviction leaves free, so that the next load does not evict at once again."""


@dataclass
class Residency:
    """The models of one device under a budget in bytes."""

    device: Device
    load: Callable[[ModelSpec], Model]
    budget: int
    measure: Callable[[], int] = resident_bytes
    clock: Callable[[], float] = time.monotonic
    loads: int = 0
    evictions: int = 0
    pinned: frozenset[str] = frozenset()
    _residents: dict[str, Resident] = field(default_factory=dict)
    _known: threading.Lock = field(default_factory=threading.Lock)
    _loading: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def using(self, spec: ModelSpec) -> Iterator[Resident]:
        """Hold a model, loading it first if need be. It is not evicted meanwhile.

        Raises ModelUnavailable where it cannot be loaded.
        """
        resident = self._hold(spec) or self._load(spec)
        try:
            yield resident
        finally:
            with self._known:
                resident.users -= 1
                resident.used_at = self.clock()

    def _hold(self, spec: ModelSpec) -> Resident | None:
        with self._known:
            resident = self._residents.get(spec.name)
            if resident is not None:
                resident.users += 1
            return resident

    def _load(self, spec: ModelSpec) -> Resident:
        with self._loading:
            held = self._hold(spec)  # another thread may have loaded it while this one waited
            if held is not None:
                return held
            self._make_room()
            before = self.measure()
            model = self._loaded(spec)
            resident = Resident(
                name=spec.name,
                model=model,
                batcher=Batcher(spec.max_batch, spec.max_pixels, spec.max_wait_ms / 1000),
                call_limit_s=spec.call_limit_s,
                users=1,
                bytes=max(self.measure() - before, 0),
                used_at=self.clock(),
            )
            self.loads += 1
            log.info("model loaded", extra={"event": "model.loaded", "model": spec.name, "bytes": resident.bytes})
            self.device.add(resident)
            with self._known:
                self._residents[spec.name] = resident
        return resident

    def _loaded(self, spec: ModelSpec) -> Model:
        try:
            return self.load(spec)
        except ModelUnavailable:
            raise
        except Exception as error:
            raise ModelUnavailable(f"model {spec.name!r} cannot be loaded: {type(error).__name__}: {error}") from error

    def _make_room(self) -> None:
        """Over the budget, evict until there is some room beneath it. What runs stays: an answer is owed.

        What is freed is counted by what each model weighed when it was loaded: the allocator may keep freed pages, and
        a loop on the process's own figure would then throw out everything.
        """
        over = self.measure() - self.budget
        owed = over + ROOM * self.budget if over > 0 else 0
        while owed > 0:
            victim = self._victim()
            if victim is None:
                return
            self._unload(victim)
            self.evictions += 1
            owed -= victim.bytes

    def _victim(self) -> Resident | None:
        with self._known:
            idle = [r for r in self._residents.values() if not r.users and r.name not in self.pinned]
            victim = min(idle, key=lambda r: r.used_at, default=None)
            if victim is not None:
                del self._residents[victim.name]
            return victim

    def _unload(self, resident: Resident) -> None:
        self.device.remove(resident)
        resident.model.close()
        gc.collect()
        log.info("model evicted", extra={"event": "model.evicted", "model": resident.name, "bytes": resident.bytes})
