"""What is loaded where, and what is evicted to make room.

Loading happens in the thread of the job that needs the model, one load at a time, while the devices' threads go on
answering for the models that are there. Each device has a budget. What a model weighs is measured around its load and
known from then on: room is made before the next load, and where a model weighs more than its row says, right after the
first. Eviction takes the least recently used model that nobody uses. A model that comes back soon after it was evicted
is told of: it and the other do not fit together.

A row may come to mean another revision while the process runs. That one is loaded beside the one that serves, takes its
place when it is ready, and the one before leaves when the calls that hold it have ended.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from domain.errors import ModelUnavailable, Unavailable
from storage.model_loads import ModelTally
from workers.accelerators import CPU, named
from workers.batching import Batcher
from workers.device import Device, Resident
from workers.memory import MEGABYTE, give_back
from workers.models import family
from workers.models.family import Elsewhere, Model
from workers.registry import ModelSpec

log = logging.getLogger(__name__)

ROOM = 0.1
"""The share of the budget that an eviction leaves free, so that the next load does not evict at once again."""
SOON_S = 60.0
"""A model that is loaded again so soon after its eviction thrashes."""


@dataclass
class Past:
    """What is known of a model for as long as the process lives, whether it is loaded or not."""

    device: str
    """where it computes"""
    bytes: int
    """what it weighed when it was loaded last; before the first time, what its row says"""
    safe: dict[Hashable, int] = field(default_factory=dict)
    """the batch size that fitted after memory ran out, by group"""
    loads: int = 0
    evictions: int = 0
    thrashes: int = 0
    evicted_at: float = -math.inf
    evicted_for: str = ""
    """the model that needed the room"""


@dataclass
class Residency:
    """The models of a process, each on its device and within that device's budget."""

    device: Callable[[str], Device]
    """makes a device by name: the host's at once, another one when its first model comes"""
    loader: Callable[[ModelSpec], Callable[[ModelSpec], Model]] = family.loader
    pinned: frozenset[str] = frozenset()
    clock: Callable[[], float] = time.monotonic
    located: Callable[[ModelSpec], ModelSpec] = lambda spec: spec
    """tells the files and the revision that a row means now"""
    set_aside: Callable[[], None] = lambda: None
    """gives up what is loaded for nobody's answer, before any model that serves goes"""

    def __post_init__(self) -> None:
        self.devices = {CPU: self.device(CPU)}
        self._residents: dict[str, Resident] = {}
        self._leaving: list[Resident] = []
        self._pasts: dict[str, Past] = {}
        self._known = threading.Lock()
        self._loading = threading.Lock()

    @contextmanager
    def using(self, spec: ModelSpec) -> Iterator[Resident]:
        """Hold a model, loading it first if need be. It is not evicted meanwhile.

        Raises ModelUnavailable where it cannot be loaded.
        """
        resident = self._hold(spec) or self._load(spec)
        try:
            yield resident
        finally:
            self._let_go(resident)

    def renew(self, spec: ModelSpec) -> bool:
        """Where a loaded row means another revision now, let that one take its place; say whether it did.

        Loads in the caller's thread, while calls go on with the revision before. Raises ModelUnavailable where the new
        one cannot be loaded; the one before serves on then.
        """
        with self._loading:
            with self._known:
                served = self._residents.get(spec.name)
            if served is None:
                return False
            with _unavailable(spec):
                wanted = self.located(spec)
            if wanted.revision == served.revision:
                return False
            fresh = self._read(wanted)
            with self._known:
                before = self._residents.get(spec.name)
                self._residents[spec.name] = fresh
                if before is not None:
                    self._leaving.append(before)
            self._make_room(fresh.device, 0, spec.name)
            self._let_go(fresh)
        log.info("model renewed", extra={"event": "model.renewed", "model": spec.name, "revision": fresh.revision})
        return True

    def see_off(self) -> None:
        """Unload the revisions that another took the place of, and that no call holds any more."""
        while (resident := self._left()) is not None:
            self._unload(resident)
            facts = {"event": "model.left", "model": resident.name, "revision": resident.revision}
            log.info("a revision left", extra=facts)

    def has_room(self, spec: ModelSpec) -> bool:
        """Say whether a model of a row would fit beside all that is loaded, by what that row's model weighed."""
        past = self._past(spec)
        device = self.devices.get(past.device)
        return device is None or device.memory.used() + past.bytes <= device.memory.budget

    def tallies(self) -> list[ModelTally]:
        """Return how often each model was loaded and evicted, and what those that are loaded weigh."""
        with self._known:
            return [
                ModelTally(
                    model=name,
                    device=past.device,
                    loads=past.loads,
                    evictions=past.evictions,
                    thrashes=past.thrashes,
                    resident_bytes=past.bytes if name in self._residents else 0,
                )
                for name, past in sorted(self._pasts.items())
                if past.loads
            ]

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
            with _unavailable(spec):
                wanted = self.located(spec)
            resident = self._read(wanted)
            with self._known:
                self._residents[spec.name] = resident
            self._look_for_thrash(spec.name, self._pasts[spec.name])
            self._make_room(resident.device, 0, spec.name)
        return resident

    def _read(self, spec: ModelSpec) -> Resident:
        """Load a model, weigh it, and have its device serve it; its loader is its first user."""
        with _unavailable(spec):
            past = self._past(spec)
            load = self.loader(spec)  # the libraries stay when the model goes, so they are no part of its weight
            if past.device in self.devices:
                self._make_room(self.devices[past.device], past.bytes, spec.name)
            before = {name: device.memory.own() for name, device in self.devices.items()}
            model = load(spec)
            device = self._at(named(model.device))
            weighs = max(device.memory.own() - before.get(device.name, 0), 0)
        resident = Resident(
            device=device,
            name=spec.name,
            model=model,
            batcher=Batcher.of(spec, past.safe),
            call_limit_s=spec.call_limit_s,
            revision=spec.revision,
            users=1,
            used_at=self.clock(),
        )
        device.add(resident)
        with self._known:
            past.device, past.bytes = device.name, weighs
            past.loads += 1
        log.info("model loaded", extra={"event": "model.loaded", "model": spec.name, "bytes": past.bytes})
        return resident

    def _let_go(self, resident: Resident) -> None:
        with self._known:
            resident.users -= 1
            resident.used_at = self.clock()

    def _left(self) -> Resident | None:
        """Take out a revision whose place was taken and that nobody uses."""
        with self._known:
            free = next((resident for resident in self._leaving if not resident.users), None)
            if free is not None:
                self._leaving.remove(free)
            return free

    def _past(self, spec: ModelSpec) -> Past:
        first = Past(named(spec.device), spec.memory_mb * MEGABYTE)  # may import torch: not while the lock is held
        with self._known:
            return self._pasts.setdefault(spec.name, first)

    def _at(self, name: str) -> Device:
        if name not in self.devices:
            self.devices[name] = self.device(name)
        return self.devices[name]

    def _make_room(self, device: Device, wanted: int, wanting: str) -> None:
        """Where so many bytes more would pass the budget, evict until there is some room besides them.

        What runs stays: an answer is owed. What is freed is counted by what each model weighed: the allocator may keep
        freed pages, and a loop on the device's own figure would then throw out everything.
        """
        self.see_off()
        if device.memory.used() + wanted > device.memory.budget:
            self.set_aside()
        used, budget = device.memory.used(), device.memory.budget
        over = used + wanted - budget
        if over <= 0:
            return
        besides = ROOM * budget
        while over + besides > 0:
            victim = self._victim(device)
            if victim is None:
                break
            over -= self._evict(victim, wanting)
        if over > 0:
            facts = {"event": "memory.over_budget", "device": device.name, "model": wanting, "bytes": used}
            log.warning("the models' budget is passed, and all that is left is in use or pinned", extra=facts)

    def _victim(self, device: Device) -> Resident | None:
        """Take out the model that goes next. One that another machine computes would make no room."""
        with self._known:
            idle = [
                resident
                for name, resident in self._residents.items()
                if resident.device is device
                and not resident.users
                and name not in self.pinned
                and not isinstance(resident.model, Elsewhere)
            ]
            victim = min(idle, key=lambda resident: resident.used_at, default=None)
            if victim is not None:
                del self._residents[victim.name]
            return victim

    def _evict(self, resident: Resident, wanting: str) -> int:
        """Unload a model for another's sake and return what it weighed."""
        self._unload(resident)
        past = self._pasts[resident.name]
        with self._known:
            past.evictions += 1
        past.evicted_at, past.evicted_for = self.clock(), wanting
        log.info("model evicted", extra={"event": "model.evicted", "model": resident.name, "bytes": past.bytes})
        return past.bytes

    def _unload(self, resident: Resident) -> None:
        resident.device.remove(resident)
        try:
            resident.model.close()
        except Exception:
            # Its job is long done: this is another's, which can have its model all the same.
            log.exception("a model was not closed", extra={"event": "model.unclosed", "model": resident.name})
        give_back()

    def _look_for_thrash(self, name: str, past: Past) -> None:
        away_s = self.clock() - past.evicted_at
        if away_s > SOON_S:
            return
        with self._known:
            past.thrashes += 1
        log.warning(
            "models %r and %r do not fit on %s together: %r was loaded again %.0f s after it made room; raise "
            "SIGHTLINE_MEMORY_MB (on an accelerator SIGHTLINE_DEVICE_MEMORY_MB), or give each a worker of its own",
            *(name, past.evicted_for, past.device, name, away_s),
            extra={"event": "model.thrashed", "model": name, "other": past.evicted_for, "device": past.device},
        )


@contextmanager
def _unavailable(spec: ModelSpec) -> Iterator[None]:
    """Raise ModelUnavailable for whatever keeps a model from being loaded, but for a database that does not answer."""
    try:
        yield
    except (ModelUnavailable, Unavailable):
        raise
    except Exception as error:
        raise ModelUnavailable(f"model {spec.name!r} cannot be loaded: {type(error).__name__}: {error}") from error
