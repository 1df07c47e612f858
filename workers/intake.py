"""The Celery producer's door: the task `sightline.submit` on `intake.TENANT`, with HTTP's validation and durability.

Who may send is who can reach the queue, so a tenant's intake is off until it is enabled, and an application that
handles patient data refuses it. A message can come twice, so an idempotency key is required. A rejection is stored as
an event; the outcome is read with `GET /v1/jobs?idempotency_key=`. No torch.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery
from celery.exceptions import Reject
from kombu import Queue

from domain.applications import application
from domain.errors import InvalidRequest, SightlineError, Unavailable
from domain.events import EventType
from domain.requests import parse_request
from storage.facts import told
from storage.processes import log_as_json, process
from storage.session import Connection, Engine, connect, read, write
from storage.settings import Settings
from storage.submit import submit
from storage.tenants import backlog_limit, get, listing
from workers.celery_app import BROKER_ERRORS, SUBMIT, make_app, queue
from workers.celery_process import node_name, serve

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
PREFIX = "intake."
IDLE = "intake-idle"
MAX_KEY = 200
RETRY_S = 2.0


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
            "message": error.message,
            "idempotency_key": key[:MAX_KEY] if isinstance(key, str) else None,
        }
        log.info("a submission was rejected", extra={"event": "intake.rejected", "tenant": tenant, "code": error.code})
        write(engine, told, tenant, EventType.INTAKE_REJECTED, body)


def _accept(connection: Connection, tenant: str, message: Any, default_limit: int) -> None:  # noqa: ANN401
    if not isinstance(message, dict):
        raise InvalidRequest(f"a submission is a JSON object, not {type(message).__name__}")
    if not get(connection, tenant).intake_enabled:
        raise InvalidRequest(f"the Celery intake of tenant {tenant!r} is not enabled")
    key = message.get("idempotency_key")
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY:
        raise InvalidRequest(f"an idempotency_key of 1 to {MAX_KEY} characters is required, not {str(key)[:50]!r}")
    request = parse_request({name: value for name, value in message.items() if name != "idempotency_key"})
    if application(request.application).patient_data:
        raise InvalidRequest(f"{request.application!r} handles patient data and takes no jobs from Celery")
    limit = backlog_limit(connection, tenant, default_limit)
    submit(connection, tenant, request, idempotency_key=key, backlog_limit=limit)


def run_intake(settings: Settings) -> None:
    """Serve the intake queues of the tenants that enabled them until a signal comes."""
    log_as_json()
    with process("intake", settings.run_folder) as me:
        engine = connect(settings.database_url, pool_size=4)
        app = make_app(settings, [])
        closing = threading.Event()
        define_submit(app, settings, partial(take_in, engine, default_limit=settings.backlog_limit), closing)
        node = node_name(me.label)
        # Tenants come and go while this runs; a consumer needs a queue from its start, and this one nobody sends to.
        amqp = settings.broker_url.startswith("amqp")
        app.amqp.queues.add(queue(IDLE, settings.queue_prefix, amqp=amqp))
        follow = threading.Thread(target=_follow_tenants, args=(app, settings, engine, node, closing), daemon=True)
        follow.start()
        me.ready()
        serve(app, [f"{settings.queue_prefix}{IDLE}"], node, leave=closing.set)


def define_submit(app: Celery, settings: Settings, take: Callable[..., None], closing: threading.Event) -> None:
    """Give the app the task that producers send; the tenant is told by the queue, never by the message.

    While the database does not answer, a message waits in its thread; once `closing`, it goes back to the broker.
    """

    def submit_task(task: Any, *positional: Any, **message: Any) -> None:  # noqa: ANN401
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


def _follow_tenants(app: Celery, settings: Settings, engine: Engine, node: str, closing: threading.Event) -> None:
    """Consume the queues of the tenants that have their intake enabled, as they change.

    Only this process is told to, and it has to confirm: told to all, every worker on the broker would take submissions
    too and throw them away; told while it does not hear, this one would never consume.
    """
    consumed: set[str] = set()
    while not closing.wait(LOOK_EVERY_S):
        try:
            wanted = {tenant.name for tenant in read(engine, listing) if tenant.intake_enabled}
            for tenant in sorted(wanted - consumed):
                if _confirmed(app.control.add_consumer(**_consumer(settings, tenant), destination=[node], reply=True)):
                    consumed.add(tenant)
            for tenant in sorted(consumed - wanted):
                name = f"{settings.queue_prefix}{PREFIX}{tenant}"
                if _confirmed(app.control.cancel_consumer(name, destination=[node], reply=True)):
                    consumed.discard(tenant)
        except (Unavailable, *BROKER_ERRORS) as error:
            log.warning("tenants cannot be followed", extra={"event": "intake.unfollowed", "reason": str(error)})


def _confirmed(answers: list[dict[str, dict[str, str]]] | None) -> bool:
    """Say whether the node did as it was told; answers are {node: {"ok" or "error": text}}."""
    return any("ok" in told for answer in answers or [] for told in answer.values())


def _consumer(settings: Settings, tenant: str) -> dict[str, Any]:
    made: Queue = queue(f"{PREFIX}{tenant}", settings.queue_prefix, amqp=settings.broker_url.startswith("amqp"))
    return {
        "queue": made.name,
        "exchange": made.exchange.name,
        "exchange_type": "direct",
        "routing_key": made.routing_key,
        "options": {"queue_arguments": made.queue_arguments},
    }
