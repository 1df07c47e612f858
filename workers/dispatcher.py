"""The dispatcher process: the composition root of dispatching and housekeeping. No torch.

Any number may run. Rounds are woken by the database's bell or a short poll; housekeeping goes by the clock.
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
        engine = connect(settings.database_url, pool_size=4)
        closing = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: closing.set())
        me.ready()
        log.info("dispatching", extra={"event": "dispatch.serving"})
        _dispatch_until(closing, settings, engine)


def _dispatch_until(closing: threading.Event, settings: Settings, engine: Engine) -> None:
    dispatcher = Dispatcher(engine, _ringer(settings), settings.rering_seconds)
    chores = [
        Chore(HOUSE_S, partial(keep_house, engine)),
        Chore(REAP_S, partial(reap, engine)),
        Chore(REAP_S, partial(end_what_cannot_run, engine)),
        Chore(min(REAP_S, settings.rering_seconds / 2), dispatcher.forget_lost),
        Chore(SWEEP_S, partial(sweep, engine, ImageStore(settings.images_url), settings.keep_unnamed_images_s)),
    ]
    waiter = Waiter(engine)
    while not closing.is_set():
        try:
            for chore in chores:
                chore.run()
            if _round(dispatcher):
                # Housekeeping is asked for by what was just written, so look again soon after a bell.
                waiter.wait(min(REST_S, max(chores[0].due - time.monotonic(), 0.01)))
            else:
                closing.wait(PAUSE_S)
        except Unavailable as error:
            log.warning("the database does not answer", extra={"event": "database.unavailable", "reason": str(error)})
            waiter.close()
            closing.wait(PAUSE_S)
    waiter.close()


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
