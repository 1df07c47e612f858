"""The worker process: the composition root that ties ears, crew, lease, committer, models and watchdog together."""

import logging
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from uuid import UUID

from domain.applications import application, applications
from domain.applications.application import Configured
from domain.errors import InvalidRequest, Unavailable
from domain.jobs import Lane, queue_name
from domain.retries import RetryPolicy
from storage import configurations, leases, model_loads, shadows
from storage.claims import ClaimedJob, claim, commit, hearable
from storage.configurations import Name
from storage.dispatching import anything_rung, still_heard
from storage.image_store import ImageStore
from storage.jobs import superseded_or_cancelled
from storage.memory import recall
from storage.processes import Process, log_as_json, process
from storage.sealing import Sealing, key_of
from storage.session import Engine, connect, read, write
from storage.settings import Settings
from workers import accelerators
from workers.accelerators import CPU
from workers.banking import Banking
from workers.candidate import Means
from workers.celery_app import default_queue_names, make_app
from workers.celery_process import Ear, node_name, serve
from workers.committing import Committer
from workers.crew import Crew, Links, watching
from workers.deafness import Doubt, Listening
from workers.device import Census, Device
from workers.hearing import Ears, remembering
from workers.leasing import Lease, LeaseKeeper, disowning
from workers.memory import MEGABYTE, Memory, default_limit, models_budget
from workers.models import family
from workers.notes import Notes
from workers.overhearing import Nobody
from workers.passing import Doorkeeper
from workers.perform import Workshop, perform
from workers.registered import locating
from workers.registry import Registry, load_profile
from workers.renewing import Renewing, renewing
from workers.residency import Residency
from workers.shadowing import Shadowing
from workers.tallying import Tallying, tallying
from workers.tasks import define_ring
from workers.trainer import JobTrainer
from workers.watchdog import Watchdog

log = logging.getLogger(__name__)

NOTED_S = (1.0, 6.0)
"""When a leaving worker hands back again: a doorbell is mostly noted at once, else as late as a publish may take."""
DEAF_AFTER = 3.0
"""After how many times the re-ring time an idle worker that hears nothing counts as deaf."""


@dataclass(frozen=True)
class TenantMemory:
    """One tenant's translation memory, as an application asks it."""

    engine: Engine
    tenant: str

    def recall(self, text: str, source: str, target: str) -> str | None:
        """Return the remembered translation of a text, if there is one."""
        return read(self.engine, recall, self.tenant, text, source, target)


@dataclass(frozen=True)
class TenantConfigurations:
    """One tenant's configurations of one application, as that asks for them."""

    engine: Engine
    tenant: str
    application: str

    def find(self, kind: str, name: str, version: int | None = None) -> Configured:
        """Return a version, or the active one."""
        of = Name(tenant=self.tenant, application=self.application, kind=kind, name=name)
        return read(self.engine, configurations.find, of, version)


def run_worker(settings: Settings, queues: Sequence[str]) -> None:
    """Serve queues until a signal comes. Returns after draining."""
    log_as_json()
    for doubt in settings.doubts():
        log.warning(doubt, extra={"event": "settings.doubtful"})
    served, apart = served_queues(queues)
    if apart:
        # One at a time, and for as long as it takes: what is hung in a training shows in its rounds.
        settings = settings.model_copy(update={"job_threads": 1, "job_limit_s": math.inf})
    with process("trainer" if apart else "worker", settings.run_folder, " ".join(queues)) as me:
        pool = settings.job_threads + 6
        engine = connect(settings.database_url, pool_size=pool, answer_s=settings.database_answer_s)
        notes = Notes(me.file("notes"))
        _bury_predecessor(engine, notes)
        limit = settings.process_memory_mb * MEGABYTE if settings.process_memory_mb else default_limit()
        watchdog = Watchdog(notes, stalled_s=settings.stall_limit_s, memory_limit=limit)
        workshop = _workshop(settings, engine, watchdog, models_budget(settings.memory_mb * MEGABYTE, limit))
        _Worker(settings, engine, me, served, notes, watchdog, workshop, apart=apart).serve()


def served_queues(queues: Sequence[str]) -> tuple[list[str], bool]:
    """Return the queues that are meant, and whether they are of an application that runs apart.

    An application's name stands for all its lanes; no name for all applications that do not run apart. Raises
    InvalidRequest where such an application is to share a process with others, UnknownApplication on no name of one.
    """
    named = [name if "." in name else queue_name(name, lane) for name in queues for lane in Lane]
    served = list(dict.fromkeys(named)) or default_queue_names()
    apart = {application(name.rpartition(".")[0]).apart for name in served}
    if len(apart) > 1:
        raise InvalidRequest(f"{', '.join(queues)}: what runs apart is served by a process of its own")
    return served, apart.pop()


def _bury_predecessor(engine: Engine, notes: Notes) -> None:
    """End the lease of the process that had this number before, at once, and suspect what it was busy with.

    The number's lock was free, so that process is dead; nobody needs to wait for its lease to lapse.
    """
    dead, noted = notes.left_behind()
    if dead is None:
        return
    said = notes.last_words()
    reason = f"its process died: {said}" if said else "its process died"
    jobs = write(engine, leases.end, dead, leases.Ending(reason, noted=noted))
    # Told once: a process that dies while it loads its models leaves no notes of its own, and each one after it would
    # suspect the same jobs again, which may have succeeded elsewhere and been replayed.
    notes.clear()
    facts = {"event": "worker.buried", "worker": dead, "jobs": jobs, "reason": reason}
    log.warning("a dead worker's jobs were given back", extra=facts)


def _workshop(settings: Settings, engine: Engine, watchdog: Watchdog, budget: int) -> Workshop:
    registry = load_profile(settings.models, call_limit_s=settings.call_limit_s)
    census = Census()

    def device(name: str) -> Device:
        memory = Memory(budget) if name == CPU else accelerators.memory(name, settings.device_memory_mb)
        return Device(name, guard=watchdog.guarding, died=watchdog.end, memory=memory, census=census)

    images = ImageStore(settings.images_url, make=False)
    pinned, located = frozenset(registry.profile.preload), locating(engine, settings.data)
    residency = Residency(device, pinned=pinned, located=located)
    return Workshop(
        registry=registry,
        residency=residency,
        census=census,
        fetch=images.get,
        memory=partial(TenantMemory, engine),
        configurations=partial(TenantConfigurations, engine),
        banks=Banking(engine).of,
        guard=watchdog.guarding,
        patience=partial(watchdog.timing, limit_s=settings.job_limit_s),
        limits=settings.image_limits,
        decode_limit_s=settings.decode_limit_s,
        retries=RetryPolicy(max_attempts=settings.max_attempts, first_delay_s=settings.retry_delay_s),
        random=Random(),  # noqa: S311  (jitter)
        overhearing=_overhearing(engine, registry, residency, census) if registry.registered else Nobody(),
        door=_door(settings, engine, images, watchdog) if _sees_patients() else None,
    )


def _sees_patients() -> bool:
    return any(each.patient_data for each in applications().values())


def _door(settings: Settings, engine: Engine, images: ImageStore, watchdog: Watchdog) -> Doorkeeper:
    from workers.door import Door  # pydicom and highdicom: more than a second of each start, for who has patients
    from workers.imaging.dicom.profile import Options

    key = settings.originals_key
    return Door(
        engine=engine,
        store=images,
        sealing=Sealing(partial(key_of, key.get_secret_value() if key else None, settings.data)),
        limits=settings.image_limits,
        guard=watchdog.guarding,
        decode_limit_s=settings.decode_limit_s,
        options=Options(characteristics=settings.patient_characteristics),
        keep_originals=settings.keep_originals,
    )


def _overhearing(engine: Engine, registry: Registry, residency: Residency, census: Census) -> Shadowing:
    rows, located = registry.registered, residency.located
    means = Means(
        load=lambda row: family.load(located(row)),
        quiet=lambda: not census.running,
        has_room=residency.has_room,
    )
    active = partial(read, engine, shadows.active, [row.registered for row in rows])
    shadowing = Shadowing(rows, active, partial(write, engine, shadows.collect), means)
    residency.set_aside = shadowing.set_aside
    return shadowing


class _Worker:
    """The parts of one worker process while it serves."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        me: Process,
        queues: list[str],
        notes: Notes,
        watchdog: Watchdog,
        workshop: Workshop,
        *,
        apart: bool = False,
    ) -> None:
        self.settings, self.engine, self.me, self.queues = settings, engine, me, queues
        self.notes, self.watchdog, self.workshop = notes, watchdog, workshop
        self.apart, self.leaving = apart, threading.Event()
        if apart:
            self.workshop = replace(workshop, trainer=partial(JobTrainer, settings, engine, self.leaving.is_set))
        self.ears = Ears()
        self.unclaimed: list[UUID] = []
        self.heard = 0  # messages; two of Celery's threads may count one for two, which is as good
        self.closing = threading.Event()

    def serve(self) -> None:
        """Load, register, hear; return after draining."""
        self._preload(self.workshop.registry)
        lease_s = self.settings.lease_seconds
        self.keeper = LeaseKeeper(self._register, self._renew, lease_s, self._lease_started)
        self.crew = Crew(self.settings.job_threads, self.ears, self._links())
        self.committer = Committer(self._commit, self._settled)
        self.crew.start()
        watching(self.crew, partial(read, self.engine, superseded_or_cancelled), self.closing)
        tell = partial(write, self.engine, still_heard)
        remembering(self.ears, tell, self.settings.rering_seconds, self.closing)
        disowning(self._disown, self.crew.held, self.keeper, lease_s / 4, self.closing)
        tallies = Tallying(self.workshop.residency.tallies, partial(write, self.engine, model_loads.tell))
        self.telling = tallying(tallies, lambda: self.keeper.lease.worker, lease_s / 4, self.closing)
        renewal = Renewing(self.workshop.registry.registered, self.workshop.residency)
        renewing((renewal.look, self.workshop.overhearing.look), lease_s / 4, self.closing)
        self.watchdog.start()
        app = make_app(self.settings, self.queues)
        define_ring(app, self._hear)
        names = [f"{self.settings.queue_prefix}{name}" for name in self.queues]
        self.me.ready()
        log.info("serving", extra={"event": "worker.serving", "queues": self.queues})
        ear = Ear(app, names, node_name(self.me.label))
        self._listening(ear).start(self.settings.rering_seconds / 4, self.closing)
        serve(ear, leave=self._leave)
        log.info("left", extra={"event": "worker.left"})
        sys.stderr.flush()
        os._exit(0)  # Celery's loop and the job threads of what did not end in time must not hold the process

    def _preload(self, registry: Registry) -> None:
        if self.apart:
            return  # it answers nothing with them
        for spec in registry.profile.models:
            if spec.name in registry.profile.preload:
                with self.workshop.residency.using(spec):
                    pass

    def _links(self) -> Links:
        return Links(
            lease=lambda: self.keeper.lease,
            claim=lambda worker, ids, suspects: write(self.engine, claim, worker, ids, suspects=suspects),
            perform=lambda job, stopped: perform(job, self.workshop, stopped),
            commit=lambda finished: self.committer.put(finished),
            hand_back=self._hand_back,
            turned=self.watchdog.turned,
        )

    def _listening(self, ear: Ear) -> Listening:
        return Listening(
            doubt=Doubt(DEAF_AFTER * self.settings.rering_seconds),
            heard=lambda: self.heard,
            idle=lambda: not self.closing.is_set() and not len(self.ears) and not self.crew.held(),
            rung=lambda: read(self.engine, anything_rung, self.queues),
            restart=ear.restart,
        )

    def _hear(self, ids: Sequence[UUID]) -> None:
        self.heard += 1
        served = set(self.queues)
        rows = read(self.engine, hearable, ids)
        heard = self.ears.hear(
            (job_id, lane, suspect, seconds, tenant)
            for job_id, name, lane, suspect, seconds, tenant in rows
            if f"{name}.{lane}" in served
        )
        if not heard:
            self._hand_back(ids)  # Celery's loop goes on for a moment after this process was told to leave

    def _commit(self, worker: UUID, outcomes: Sequence[object]) -> set[UUID]:
        return write(self.engine, commit, worker, outcomes)

    def _settled(self, job: ClaimedJob, stands: bool) -> None:
        self.crew.settled(job)
        self.workshop.overhearing.settled(job.id, committed=stands)

    def _register(self) -> UUID:
        return write(
            self.engine,
            leases.register,
            name=self.me.label,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self.queues,
            capacity=self.settings.job_threads,
            lease_s=self.settings.lease_seconds,
        )

    def _lease_started(self, lease: Lease) -> None:
        self.notes.begin(lease.worker)

    def _renew(self, worker: UUID) -> bool:
        return write(self.engine, leases.renew, worker, self.settings.lease_seconds)

    def _disown(self, worker: UUID, held: list[UUID]) -> int:
        return write(self.engine, leases.disown, worker, held, self.settings.lease_seconds)

    def _leave(self) -> None:
        """Drain: hear no more, hand back what has not begun, finish what runs, hand back what did not end."""
        self.leaving.set()
        self._hand_back(self.ears.close())
        for after_s in NOTED_S:
            threading.Timer(after_s, self._hand_back).start()
        begun, ended = time.monotonic(), self.crew.drain(self.settings.drain_seconds)
        if self.unclaimed:
            time.sleep(max(begun + NOTED_S[0] - time.monotonic(), 0))
            self._hand_back()
        self.closing.set()
        self.committer.close()
        self.keeper.close()
        self.telling.join(timeout=2)
        reason = "it was drained" if ended else "it was drained, past its time limit"
        try:
            write(self.engine, leases.end, self.keeper.lease.worker, leases.Ending(reason, lost=False))
            self.notes.close()
        except Unavailable as error:
            # The file stays, so that a successor ends this lease at once; nobody is to be suspected for it.
            self.notes.leave_only(())
            self.notes.say(f"{reason}, while the database did not answer")
            log.warning("the lease was not ended", extra={"event": "drain.unsaid", "reason": str(error)})
        self.me.leave()

    def _hand_back(self, unclaimed: Sequence[UUID] = ()) -> None:
        """Let others run at once what this process heard and will not claim; what runs may take long to end.

        All of it each time: a doorbell is heard before the dispatcher has noted it, and one noted after it was handed
        back would count as rung until the re-ring time.
        """
        self.unclaimed += unclaimed
        try:
            write(self.engine, leases.hand_back, list(self.unclaimed))
        except Unavailable as error:
            log.warning("what was heard is rung for again later", extra={"event": "drain.kept", "reason": str(error)})
