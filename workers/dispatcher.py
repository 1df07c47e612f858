"""The dispatcher process: the composition root of dispatching and housekeeping. No torch.

Any number may run. Rounds are woken by the database's bell or a short poll; housekeeping goes by the clock, in a thread
of its own, and so does the sweep of images, which waits for their store.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from domain.errors import Unavailable
from storage.bell import Waiter
from storage.image_store import ImageStore
from storage.images import sweep
from storage.processes import log_as_json, process
from storage.session import Engine, connect
from storage.settings import Settings
from workers.celery_app import BROKER_ERRORS, MESSAGE_VERSION, RING, all_queue_names, make_app
from workers.clock_watch import ClockWatch
from workers.dispatch import Dispatcher
from workers.reap import end_what_cannot_run, keep_house, reap

log = logging.getLogger(__name__)

HOUSE_S = 0.2
REAP_S = 1.0
REST_S = 0.5
"""The longest that a round is put off without a bell: retries and `not_before` ripen without one."""
SWEEP_S = 600.0
PAUSE_S = 1.0


@dataclass
class Chore:
    """Something done every so many seconds."""

    every_s: float
    work: Callable[[], object]
    due: float = 0.0

    def run(self) -> None:
        """Do it if it is due."""
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + self.every_s
            self.work()


def run_dispatcher(settings: Settings) -> None:
    """Dispatch until a signal comes."""
    log_as_json()
    with process("dispatch", settings.run_folder) as me:
        engine = connect(settings.database_url, pool_size=4, answer_s=settings.database_answer_s)
        closing = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: closing.set())
        me.ready()
        log.info("dispatching", extra={"event": "dispatch.serving"})
        _dispatch_until(closing, settings, engine)


def _dispatch_until(closing: threading.Event, settings: Settings, engine: Engine) -> None:
    """Ring, keep house and sweep images beside each other.

    In three threads: a publish to a silent broker, or to one that takes none for now, ends only with its time-out, and
    a sweep lasts as long as there is to remove and as its store takes; leases have to lapse and deadlines to pass all
    the same.
    """
    beside = {"house": _house(settings, engine), "sweep": _sweeping(settings, engine)}
    threads = [
        threading.Thread(
            target=_until, args=(closing, chores, lambda: closing.wait(HOUSE_S / 2)), name=name, daemon=True
        )
        for name, chores in beside.items()
    ]
    for thread in threads:
        thread.start()
    _ring_until(closing, settings, engine)
    for thread in threads:
        thread.join(PAUSE_S)


def _house(settings: Settings, engine: Engine) -> list[Chore]:
    return [
        Chore(HOUSE_S, partial(keep_house, engine)),
        Chore(REAP_S, ClockWatch(engine, settings.lease_seconds).look),
        Chore(REAP_S, partial(reap, engine)),
        Chore(REAP_S, partial(end_what_cannot_run, engine)),
    ]


def _sweeping(settings: Settings, engine: Engine) -> list[Chore]:
    images = ImageStore(settings.images_url, make=False)
    return [Chore(SWEEP_S, partial(sweep, engine, images, settings.keep_unnamed_images_s))]


def _ring_until(closing: threading.Event, settings: Settings, engine: Engine) -> None:
    dispatcher, waiter = Dispatcher(engine, _ringer(settings), settings.rering_seconds), Waiter(engine)
    look_s = min(REAP_S, settings.rering_seconds / 2)
    chores = [Chore(look_s, dispatcher.forget_lost), Chore(look_s, dispatcher.share)]

    def ring_and_wait() -> None:
        if _round(dispatcher):
            waiter.wait(REST_S)
        else:
            time.sleep(PAUSE_S)

    _until(closing, chores, ring_and_wait, waiter.close)
    waiter.close()


def _until(
    closing: threading.Event,
    chores: Sequence[Chore],
    then: Callable[[], object],
    lost: Callable[[], None] = lambda: None,
) -> None:
    """Do the chores that are due, then the rest of a turn, again and again; outlast whatever one of them raises.

    Each by itself: one that fails every time (its statement takes too long, the image folder is away, a fault of ours)
    must not keep those behind it from their turn. Nor does it end the process: a row that is not understood would end
    every successor too, and then nobody would ring, nor give back what a dead worker held.
    """
    turn = [*(chore.run for chore in chores), then]
    while not closing.is_set():
        for work in turn:
            if not _done(work):
                lost()
                time.sleep(PAUSE_S)  # the main thread waits for no event that its own signal handler sets
            if closing.is_set():
                return


def _done(work: Callable[[], object]) -> bool:
    """Do it; say whether it could be done."""
    try:
        work()
    except Unavailable as error:
        reason = {"event": "database.unavailable", "reason": str(error)}
        log.warning("the database or the image store does not answer", extra=reason)
        return False
    except BaseException:
        # SystemExit too: it would end a thread without a word, and nobody here means the process by it.
        log.exception("a part of the dispatcher failed", extra={"event": "dispatch.failed"})
        return False
    return True


def _round(dispatcher: Dispatcher) -> bool:
    """Ring, and say whether the broker took it. While it does not, leases still lapse and deadlines still pass."""
    try:
        dispatcher.round()
    except BROKER_ERRORS as error:
        log.warning("the broker does not answer", extra={"event": "broker.unavailable", "reason": str(error)})
        return False
    return True


def _ringer(settings: Settings) -> Callable[[str, Sequence[UUID]], None]:
    """Return what publishes one doorbell, and raises one of BROKER_ERRORS when the broker did not take it."""
    app = make_app(settings, all_queue_names())

    def ring(queue: str, ids: Sequence[UUID]) -> None:
        told = [str(job_id) for job_id in ids]
        app.send_task(RING, args=[MESSAGE_VERSION, told], queue=f"{settings.queue_prefix}{queue}", ignore_result=True)

    return ring
