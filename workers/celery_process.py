"""A Celery worker in this process, with Sightline's own end.

Celery's thread pool has no terminate, and its cold and soft shutdowns raise (Celery 5.7.0), so SIGINT, SIGQUIT and
SIGTERM all mean one thing here: hear no more, end what runs, leave.
"""

import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import ClassVar
from uuid import uuid4

from celery import Celery
from celery.worker import WorkController, state
from celery.worker.consumer import Consumer

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""The pause before Celery's worker is started again after it ended by itself."""
LEAVE_S = 3.0
"""How long Celery's own loop may take to end once nothing is left to do."""


class DoorbellConsumer(Consumer):  # type: ignore[misc]  # (Celery has no types)
    """Celery's consumer without native delayed delivery.

    For quorum queues it would declare some 28 exchanges and queues for ETAs, which are never used here.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """Celery's steps but that one."""

        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if not step.endswith("DelayedDelivery")
        ]


def node_name(label: str) -> str:
    """Return a name for a process's node in Celery's eyes; another one at each call.

    It must be its own: two of one name fight over RabbitMQ's exclusive reply queue, and neither consumes. Machines may
    share a host name (containers do), so a name of the process alone is not enough.
    """
    return f"{label}-{uuid4().hex[:8]}@{socket.gethostname()}"


def serve(app: Celery, queues: Sequence[str], node: str, *, leave: Callable[[], None], concurrency: int = 2) -> None:
    """Consume until a signal comes; then call `leave` (in a thread) and return when it has, at the latest.

    Celery's loop may sit in a poll for some seconds after it was told to stop. Nothing depends on it by then: messages
    are acked as they are heard, and one that is not comes again. So once `leave` is done it gets a moment, no more.
    """
    left = threading.Event()

    def leave_once() -> None:
        try:
            leave()
        except Exception:
            log.exception("leaving failed", extra={"event": "worker.leave_failed"})
        left.set()

    def stop(number: int, _frame: FrameType | None) -> None:
        if not stopping.is_set():
            stopping.set()
            log.info("leaving on %s", signal.Signals(number).name, extra={"event": "worker.leaving"})
            threading.Thread(target=leave_once, name="leaving").start()
        state.should_stop = 0

    # Celery's pool threads look tasks up in the default app; this process has but one.
    app.set_default()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, stop)
    consuming = threading.Thread(target=_consume, args=(app, queues, node, concurrency, stopping), daemon=True)
    consuming.start()
    left.wait()
    consuming.join(LEAVE_S)


def _consume(app: Celery, queues: Sequence[str], hostname: str, concurrency: int, stopping: threading.Event) -> None:
    """Run Celery's worker, again and again until this process leaves.

    It may end by itself in a broker's outage (kombu 5.7.0: an AttributeError while it reconnects). It holds nothing
    that another one would miss, so another one is started.
    """
    while not stopping.is_set():
        # The worker as a library, without the command's banner, signal handlers and logging.
        try:
            app.finalize()
            WorkController(
                app=app,
                hostname=hostname,
                pool_cls="threads",
                consumer_cls=DoorbellConsumer,
                concurrency=concurrency,
                queues=list(queues),
                without_mingle=True,
                without_gossip=True,
            ).start()
        except BaseException:
            if not stopping.is_set():
                log.exception("Celery's worker failed", extra={"event": "celery.failed"})
        stopping.wait(AGAIN_S)
