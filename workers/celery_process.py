"""A Celery worker in this process, with Sightline's own end.

Celery's thread pool has no terminate, and its cold and soft shutdowns raise (Celery 5.7.0), so SIGINT, SIGQUIT and
SIGTERM all mean one thing here: hear no more, end what runs, leave.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, ClassVar
from uuid import uuid4

from celery import Celery
from celery.utils.threads import bound_open_broker_sockets
from celery.worker import WorkController, state
from celery.worker.consumer import Consumer
from kombu.asynchronous import set_event_loop

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""The pause before Celery's worker is started again after it ended by itself."""
EXIT_DEAF = 88
"""The exit code of a process whose ear could not be started again; a supervisor restarts it."""
RECONNECT_S = 2.0
"""The longest pause between two tries to reach the broker."""
GOODBYE_S = 2.0
"""How long each of the answers may take that Celery waits for when it ends."""
END_S = 30.0
"""How long Celery's worker may take to end when it is started again: longer than any of its socket time-outs."""
LEAVE_S = 3.0
"""How long Celery's own loop may take to end once nothing is left to do."""


class DoorbellConsumer(Consumer):  # type: ignore[misc]  # (Celery has no types)
    """Celery's consumer without ETAs.

    For quorum queues it would declare some 28 exchanges and queues for them, which are never used here. And a message
    that names one is kept unacked until then, and comes again and again: forged ones for the year 2099 never end.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """Celery's steps but that one."""

        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if not step.endswith("DelayedDelivery")
        ]

    def ensure_connected(self, conn: Any) -> Any:  # noqa: ANN401
        """Connect, however long it takes, and be there soon when the broker is: Celery pauses for up to 30 s."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_max=RECONNECT_S)
        return super().ensure_connected(conn)

    def create_task_handler(self, *arguments: Any, **named: Any) -> Callable[[Any], None]:  # noqa: ANN401
        """Return what takes a message."""
        handle: Callable[[Any], None] = super().create_task_handler(*arguments, **named)
        # Of these, Kombu 5.7.0 counts KeyError as a broken line to Redis; here it is a message that lacks something.
        broken = tuple({*self.connection_errors, *self.channel_errors} - {KeyError})

        def handle_now(message: Any) -> None:  # noqa: ANN401
            _drop_eta(message)
            try:
                handle(message)
            except broken:
                raise
            except Exception as error:
                # Celery foresees what its own clients can send. The rest would end its loop, come again, and end it
                # again: Redis never forgets, RabbitMQ after the delivery limit.
                log.warning("a message makes no sense", extra={"event": "message.refused", "reason": repr(error)[:200]})
                if not message.acknowledged:
                    message.reject_log_error(log, broken)

        return handle_now


def _drop_eta(message: Any) -> None:  # noqa: ANN401
    with suppress(Exception):  # a body that cannot be decoded is refused later
        for told in (message.headers, message.payload):  # newer clients say it in the first, old ones in the second
            if isinstance(told, dict):
                told.pop("eta", None)


def node_name(label: str) -> str:
    """Return a name for a process's node in Celery's eyes; another one at each call.

    It must be its own: two of one name fight over RabbitMQ's exclusive reply queue, and neither consumes. Machines may
    share a host name (containers do), so a name of the process alone is not enough.
    """
    return f"{label}-{uuid4().hex[:8]}@{socket.gethostname()}"


class Ear:
    """Celery's worker, in a thread of this process, started again where it ends by itself or is found deaf.

    It may end by itself in a broker's outage (kombu 5.7.0: an AttributeError while it reconnects). It holds nothing
    that another one would miss.
    """

    def __init__(self, app: Celery, queues: Sequence[str], node: str, *, concurrency: int = 2) -> None:
        self._app, self.node, self._concurrency = app, node, concurrency
        self._queues, self._now = list(queues), list(queues)
        self._closing = threading.Event()
        self._ended = threading.Event()  # a new one each time that it is started
        self._controller: WorkController | None = None
        self._thread = threading.Thread(target=self._consume, name="ear", daemon=True)

    def open(self) -> None:
        """Begin to consume."""
        # Celery's pool threads look tasks up in the default app; this process has but one.
        self._app.set_default()
        self._thread.start()

    def restart(self, reason: str) -> None:
        """Start Celery's worker again. Ends the process where that cannot be done."""
        log.error("Celery's worker is started again: %s", reason, extra={"event": "ear.restarting"})
        ended = self._ended
        self._stop()
        if not ended.wait(END_S) and not self._closing.is_set():
            # Two of them in one process would share Celery's and Kombu's global state.
            log.critical("Celery's worker does not end; this process does", extra={"event": "ear.stuck"})
            os._exit(EXIT_DEAF)

    def close(self) -> None:
        """Hear no more, and give up the connection: what was delivered and not acked goes to others."""
        self._closing.set()
        self._stop()

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended."""
        self._thread.join(timeout_s)

    def _stop(self) -> None:
        # Its goodbyes are not worth more: to a silent RabbitMQ they would be waited for without end.
        bound_open_broker_sockets(getattr(getattr(self._controller, "consumer", None), "connection", None), GOODBYE_S)
        state.should_stop = 0
        hub = getattr(self._controller, "hub", None)
        if hub is not None:
            hub.call_soon(_nothing)  # it may sit in a poll for ten seconds

    def _consume(self) -> None:
        while not self._closing.is_set():
            state.should_stop, self._ended = None, threading.Event()
            try:
                self._app.finalize()
                self._controller = self._worker()
                if not self._closing.is_set():
                    self._controller.start()
            except BaseException:
                if not self._closing.is_set():
                    log.exception("Celery's worker failed", extra={"event": "celery.failed"})
            self._controller = None
            # Another one with the same hub would have its timers (heartbeats among them) on one that nobody looks at.
            set_event_loop(None)
            # Queues that were added while it ran, as the intake's tenants are, are consumed again; so are its own, from
            # which anybody on the broker may have told it to turn away.
            added = [name for name in self._app.amqp.queues.consume_from if name not in self._queues]
            self._now = [*self._queues, *added]
            self._ended.set()
            self._closing.wait(AGAIN_S)

    def _worker(self) -> WorkController:
        # The worker as a library, without the command's banner, signal handlers and logging.
        return WorkController(
            app=self._app,
            hostname=self.node,
            pool_cls="threads",
            consumer_cls=DoorbellConsumer,
            concurrency=self._concurrency,
            queues=self._now,
            without_mingle=True,
            without_gossip=True,
        )


def _nothing() -> None:
    """Wake the loop."""


def serve(ear: Ear, *, leave: Callable[[], None]) -> None:
    """Consume until a signal comes; then call `leave` (in a thread) and return when it has, at the latest.

    Celery's loop may be in the middle of something that takes its time. Nothing depends on it by then: messages are
    acked as they are heard, and one that is not comes again. So once `leave` is done it gets a moment, no more.
    """
    left = threading.Event()

    def leave_once() -> None:
        # The ear first: else it would go on to take messages that this process has no use for.
        ear.close()
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

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, stop)
    ear.open()
    left.wait()
    ear.join(LEAVE_S)
