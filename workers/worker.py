"""The worker process: the composition root that ties ears, crew, lease, committer, models and watchdog together."""

import logging
import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from uuid import UUID

from domain.applications import application
from domain.errors import Unavailable
from domain.retries import RetryPolicy
from storage import leases
from storage.claims import claim, commit, hearable
from storage.image_store import ImageStore
from storage.jobs import superseded_or_cancelled
from storage.memory import recall
from storage.processes import Process, log_as_json, process
from storage.session import Engine, connect, read, write
from storage.settings import Settings
from workers.celery_app import all_queue_names, make_app
from workers.celery_process import node_name, serve
from workers.committing import Committer
from workers.crew import Crew, Links, watching
from workers.device import Device
from workers.hearing import Ears
from workers.leasing import Lease, LeaseKeeper
from workers.models import family
from workers.notes import Notes
from workers.perform import Workshop, perform
from workers.registry import Registry, load_profile
from workers.residency import Residency
from workers.tasks import define_ring
from workers.watchdog import Watchdog

log = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class TenantMemory:
    """One tenant's translation memory, as an application asks it."""

    engine: Engine
    tenant: str

    def recall(self, text: str, source: str, target: str) -> str | None:
        """Return the remembered translation of a text, if there is one."""
        return read(self.engine, recall, self.tenant, text, source, target)


def run_worker(settings: Settings, queues: Sequence[str]) -> None:
    """Serve queues until a signal comes. Returns after draining."""
    log_as_json()
    with process("worker", settings.run_folder, " ".join(queues)) as me:
        engine = connect(settings.database_url, pool_size=settings.job_threads + 6)
        served = list(queues) or all_queue_names()
        notes = Notes(me.file("notes"))
        _bury_predecessor(engine, notes)
        watchdog = Watchdog(notes)
        workshop = _workshop(settings, engine, watchdog)
        _Worker(settings, engine, me, served, notes, watchdog, workshop).serve()


def _bury_predecessor(engine: Engine, notes: Notes) -> None:
    """End the lease of the process that had this number before, at once, and suspect what it was busy with.

    The number's lock was free, so that process is dead; nobody needs to wait for its lease to lapse.
    """
    dead, noted = notes.left_behind()
    if dead is None:
        return
    jobs = write(engine, leases.end, dead, leases.Ending("its process died", noted=noted))
    log.warning("a dead worker's jobs were given back", extra={"event": "worker.buried", "worker": dead, "jobs": jobs})


def _workshop(settings: Settings, engine: Engine, watchdog: Watchdog) -> Workshop:
    registry = load_profile(settings.models, call_limit_s=settings.call_limit_s)
    device = Device("cpu", guard=watchdog.guarding, died=watchdog.end)
    residency = Residency(
        device, family.load, settings.memory_mb * MEGABYTE, pinned=frozenset(registry.profile.preload)
    )
    images = ImageStore(settings.images_url)
    return Workshop(
        registry=registry,
        residency=residency,
        fetch=images.get,
        memory=partial(TenantMemory, engine),
        guard=watchdog.guarding,
        patience=partial(watchdog.timing, limit_s=settings.job_limit_s),
        limits=settings.image_limits,
        retries=RetryPolicy(max_attempts=settings.max_attempts, first_delay_s=settings.retry_delay_s),
        random=Random(),  # noqa: S311  (jitter)
    )


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
    ) -> None:
        self.settings, self.engine, self.me, self.queues = settings, engine, me, queues
        self.notes, self.watchdog, self.workshop = notes, watchdog, workshop
        self.ears = Ears()
        self.closing = threading.Event()

    def serve(self) -> None:
        """Load, register, hear; return after draining."""
        self._preload(self.workshop.registry)
        lease_s = self.settings.lease_seconds
        self.keeper = LeaseKeeper(self._register, self._renew, lease_s, self._lease_started)
        self.crew = Crew(self.settings.job_threads, self.ears, self._links())
        self.committer = Committer(self._commit, self.crew.settled)
        self.crew.start()
        watching(self.crew, partial(read, self.engine, superseded_or_cancelled), self.closing)
        self.watchdog.start()
        app = make_app(self.settings, self.queues)
        define_ring(app, self._hear)
        names = [f"{self.settings.queue_prefix}{name}" for name in self.queues]
        self.me.ready()
        log.info("serving", extra={"event": "worker.serving", "queues": self.queues})
        serve(app, names, node_name(self.me.label), leave=self._leave)
        log.info("left", extra={"event": "worker.left"})
        sys.stderr.flush()
        os._exit(0)  # Celery's loop and the job threads of what did not end in time must not hold the process

    def _preload(self, registry: Registry) -> None:
        wanted = {name.rpartition(".")[0] for name in self.queues}
        for name in sorted(wanted):
            application(name)  # a queue of no application is a typing error: say so now
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
            turned=self.watchdog.turned,
        )

    def _hear(self, ids: Sequence[UUID]) -> None:
        served = set(self.queues)
        rows = read(self.engine, hearable, ids)
        heard = self.ears.hear(
            (job_id, lane, suspect, seconds)
            for job_id, name, lane, suspect, seconds in rows
            if f"{name}.{lane}" in served
        )
        if not heard:
            self._hand_back(ids)  # Celery's loop goes on for a moment after this process was told to leave

    def _commit(self, worker: UUID, outcomes: Sequence[object]) -> set[UUID]:
        return write(self.engine, commit, worker, outcomes)

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
        renewed = write(self.engine, leases.renew, worker, self.settings.lease_seconds)
        held = [job_id for job_id, lease in self.crew.held().items() if lease.worker == worker]
        disowned = write(self.engine, leases.disown, worker, held, self.settings.lease_seconds)
        if disowned:
            log.warning("claims that were never answered were given back", extra={"event": "claim.disowned"})
        return renewed

    def _leave(self) -> None:
        """Drain: hear no more, hand back what has not begun, finish what runs, hand back what did not end."""
        self._hand_back(self.ears.close())
        ended = self.crew.drain(self.settings.drain_seconds)
        self.closing.set()
        self.committer.close()
        self.keeper.close()
        reason = "it was drained" if ended else "it was drained, past its time limit"
        write(self.engine, leases.end, self.keeper.lease.worker, leases.Ending(reason, lost=False))
        self.notes.close()
        self.me.leave()

    def _hand_back(self, unclaimed: Sequence[UUID]) -> None:
        """Let others run at once what this process heard and will not claim; what runs may take long to end."""
        try:
            write(self.engine, leases.hand_back, unclaimed)
        except Unavailable as error:
            log.warning("what was heard is rung for again later", extra={"event": "drain.kept", "reason": str(error)})
