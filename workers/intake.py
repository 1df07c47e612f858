"""The Celery producer's door: the task `sightline.submit` on `intake.TENANT`, with HTTP's validation and durability.

Who may send is who can reach the queue, so a tenant's intake is off until it is enabled, and an application that
handles patient data refuses it. A message can come twice, so an idempotency key is required. A rejection is stored as
an event; the outcome is read with `GET /v1/jobs?idempotency_key=`. No torch.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery
from celery.exceptions import Reject
from kombu import Queue

from domain.access import Scope
from domain.applications import application
from domain.errors import InvalidRequest, SightlineError, Unavailable
from domain.events import EventType
from domain.requests import parse_key, parse_request
from domain.texts import printable
from storage.processes import log_as_json, process
from storage.session import Connection, Engine, connect, read, write
from storage.settings import Settings
from storage.submit import submit
from storage.telling import told
from storage.tenants import backlog_limit, get, listing
from workers.celery_app import BROKER_ERRORS, SUBMIT, make_app, queue
from workers.celery_process import Ear, node_name, serve

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
PREFIX = "intake."
IDLE = "intake-idle"
MAX_KEY = 200
MAX_MESSAGE = 2_000
RETRY_S = 2.0
DEAF_S = 30.0
"""How long Celery's worker may be asked without an answer: longer than any of its socket time-outs."""


def take_in(engine: Engine, tenant: str, message: Any, default_limit: int) -> None:  # noqa: ANN401  (whatever came)
    """Submit what a producer sent; store a rejection as an event.

    Raises Unavailable where the database does not answer: then the message must not be lost.
    """
    try:
        write(engine, _accept, tenant, message, default_limit)
    except Unavailable:
        raise
    except SightlineError as error:
        key = message.get("idempotency_key") if isinstance(message, dict) else None
        body = {
            "code": error.code,
            "message": printable(error.message, MAX_MESSAGE),
            "idempotency_key": printable(key, MAX_KEY) if isinstance(key, str) else None,
        }
        log.info("a submission was rejected", extra={"event": "intake.rejected", "tenant": tenant, "code": error.code})
        write(engine, told, tenant, EventType.INTAKE_REJECTED, body)


def _accept(connection: Connection, tenant: str, message: Any, default_limit: int) -> None:  # noqa: ANN401
    if not isinstance(message, dict):
        raise InvalidRequest(f"a submission is a JSON object, not {type(message).__name__}")
    if not get(connection, tenant).intake_enabled:
        raise InvalidRequest(f"the Celery intake of tenant {tenant!r} is not enabled")
    key = parse_key(message.get("idempotency_key"))
    request = parse_request({name: value for name, value in message.items() if name != "idempotency_key"})
    if application(request.application).patient_data:
        raise InvalidRequest(f"{request.application!r} handles patient data and takes no jobs from Celery")
    if application(request.application).scope is not Scope.SUBMIT:
        raise InvalidRequest(f"{request.application!r} needs more than to submit, and takes no jobs from Celery")
    limit = backlog_limit(connection, tenant, default_limit)
    submit(connection, tenant, request, idempotency_key=key, backlog_limit=limit)


def run_intake(settings: Settings) -> None:
    """Serve the intake queues of the tenants that enabled them until a signal comes."""
    log_as_json()
    with process("intake", settings.run_folder) as me:
        engine = connect(settings.database_url, pool_size=4, answer_s=settings.database_answer_s)
        app = make_app(settings, [])
        closing = threading.Event()
        define_submit(app, settings, partial(take_in, engine, default_limit=settings.backlog_limit), closing)
        # Tenants come and go while this runs; a consumer needs a queue from its start, and this one nobody sends to.
        amqp = settings.broker_url.startswith("amqp")
        app.amqp.queues.add(queue(IDLE, settings.queue_prefix, amqp=amqp))
        ear = Ear(app, [f"{settings.queue_prefix}{IDLE}"], node_name(me.label))
        follow = threading.Thread(target=_follow_tenants, args=(app, settings, engine, ear, closing), daemon=True)
        follow.start()
        if amqp:
            _declare(app, settings, engine)
        me.ready()
        serve(ear, leave=closing.set)


def _declare(app: Celery, settings: Settings, engine: Engine) -> None:
    """Make the queues of the tenants whose intake is enabled, before this process says that it is ready.

    RabbitMQ drops what is sent to a queue that does not exist, and it takes a while until all of them are consumed.
    """
    try:
        tenants = [tenant.name for tenant in read(engine, listing) if tenant.intake_enabled]
        with app.connection_for_write() as connection:
            for tenant in tenants:
                queue(f"{PREFIX}{tenant}", settings.queue_prefix, amqp=True)(connection.default_channel).declare()
    except (Unavailable, *BROKER_ERRORS) as error:
        log.warning("queues cannot be declared yet", extra={"event": "intake.undeclared", "reason": str(error)})


def define_submit(app: Celery, settings: Settings, take: Callable[..., None], closing: threading.Event) -> None:
    """Give the app the task that producers send; the tenant is told by the queue, never by the message.

    While the database does not answer, a message waits in its thread; once `closing`, it goes back to the broker.
    """

    # The task stands before the slash, so that a message may have a field of that name too, and is told of it.
    def submit_task(task: Any, /, *positional: Any, **message: Any) -> None:  # noqa: ANN401
        name = str(task.request.delivery_info.get("routing_key", "")).removeprefix(settings.queue_prefix)
        tenant = name.removeprefix(PREFIX)
        while True:
            try:
                take(tenant=tenant, message=message if not positional else positional[0])
                return
            except Unavailable as error:
                log.warning("a submission waits", extra={"event": "intake.waits", "reason": str(error)})
                if closing.wait(RETRY_S):
                    raise Reject("this process leaves", requeue=True) from error

    app.task(submit_task, name=SUBMIT, bind=True, ignore_result=True)


def _follow_tenants(app: Celery, settings: Settings, engine: Engine, ear: Ear, closing: threading.Event) -> None:
    """Consume the queues of the tenants that have their intake enabled, as they change.

    Only this process is told to: told to all, every worker on the broker would take submissions too and throw them
    away. What it consumes is asked anew each time, since anybody on the broker may have told it otherwise. While the
    broker takes the question, an answer that does not come for long means that it is deaf.
    """
    node, answered = [ear.node], time.monotonic()
    while not closing.wait(LOOK_EVERY_S):
        try:
            wanted = {tenant.name for tenant in read(engine, listing) if tenant.intake_enabled}
            told = app.control.inspect(destination=node, limit=1).active_queues()
            if told:
                answered = time.monotonic()
                consumed = _tenants(settings, told[ear.node])
                for tenant in sorted(wanted - consumed):
                    app.control.add_consumer(**_queue_of(settings, tenant), destination=node)
                for tenant in sorted(consumed - wanted):
                    app.control.cancel_consumer(f"{settings.queue_prefix}{PREFIX}{tenant}", destination=node)
            elif time.monotonic() - answered > DEAF_S:
                ear.restart(f"it has not said for {DEAF_S:g} s what it consumes")
                answered = time.monotonic()
        except (Unavailable, *BROKER_ERRORS) as error:
            log.warning("tenants cannot be followed", extra={"event": "intake.unfollowed", "reason": str(error)})
            answered = time.monotonic()
        except Exception:
            # Anybody on the broker may answer, whatever it likes. Without this thread no tenant would be followed.
            log.exception("tenants cannot be followed", extra={"event": "intake.unfollowed"})


def _tenants(settings: Settings, queues: list[dict[str, Any]]) -> set[str]:
    """Return whose queues are among these."""
    before = f"{settings.queue_prefix}{PREFIX}"
    return {told["name"].removeprefix(before) for told in queues if told["name"].startswith(before)}


def _queue_of(settings: Settings, tenant: str) -> dict[str, Any]:
    made: Queue = queue(f"{PREFIX}{tenant}", settings.queue_prefix, amqp=settings.broker_url.startswith("amqp"))
    return {
        "queue": made.name,
        "exchange": made.exchange.name,
        "exchange_type": "direct",
        "routing_key": made.routing_key,
        "options": {"queue_arguments": made.queue_arguments},
    }
