"""The Celery instance, its settings and the queues.

Celery carries doorbells and nothing else; what its options cannot promise, the database does. So: no result backend, no
ETA, no retries by Celery, and messages are acked as soon as their ids are in the worker's own queue.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from amqp.exceptions import AMQPError
from celery import Celery
from kombu import Exchange, Queue, compression
from kombu.exceptions import DecodeError, KombuError
from redis.exceptions import RedisError

from domain.applications import applications
from domain.jobs import Lane, queue_name
from storage.settings import Settings

RING = "sightline.ring"
SUBMIT = "sightline.submit"
MESSAGE_VERSION = 1
IDS_PER_MESSAGE = 32

BROKER_ERRORS = (KombuError, AMQPError, RedisError, OSError)
"""What a broker that is not there, or does not let us in, ends as."""

DAY_MS = 24 * 3600 * 1000


def all_queue_names() -> list[str]:
    """Return every queue of every application."""
    return [queue_name(application, lane) for application in applications() for lane in Lane]


def default_queue_names() -> list[str]:
    """Return the queues that a worker serves of itself: none of an application that runs apart."""
    return [queue_name(name, lane) for name, one in applications().items() if not one.apart for lane in Lane]


def make_app(settings: Settings, queues: Iterable[str]) -> Celery:
    """Return a Celery app that knows these queues. Opens no connection."""
    _take_nothing_compressed()
    amqp = urlsplit(settings.broker_url).scheme.startswith("amqp")
    app = Celery("sightline", set_as_current=False)
    app.conf.update(
        broker_url=settings.broker_url,
        broker_transport=None if amqp else "workers.redis_transport:Transport",
        broker_transport_options=_amqp_options() if amqp else _redis_options(settings),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        # Two missed ones end a connection that a firewall has forgotten.
        broker_heartbeat=10,
        broker_pool_limit=4,
        task_queues=[queue(name, settings.queue_prefix, amqp=amqp) for name in queues],
        task_create_missing_queues=False,
        task_default_queue=None,
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.2},
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_soft_shutdown_timeout=0,
        # Keep gossip's quieter parts off, but heartbeats and remote control on: with both off a worker was seen to stay
        # idle for good after a short Redis outage (Celery 5.7.0: an ack that fails never frees its slot).
        worker_send_task_events=False,
        worker_enable_remote_control=True,
    )
    return app


def _take_nothing_compressed() -> None:
    """Have this process refuse compressed messages, as it does undecodable ones.

    kombu (5.7.0) undoes whatever compression a message names, without a bound and before it looks at the content type:
    some kilobytes of bzip2 unfold to gigabytes, end the process, and come again.
    """
    for name in compression.encoders():
        encode, content_type = compression.get_encoder(name)
        compression.register(encode, _refuse_compressed, content_type)


def _refuse_compressed(_body: bytes) -> bytes:
    raise DecodeError("no compressed message is taken")


def queue(name: str, prefix: str, *, amqp: bool) -> Queue:
    """Return a queue: a quorum queue on RabbitMQ, a list on Redis."""
    arguments = {
        "x-queue-type": "quorum",
        # Lost connections count as deliveries: keep it high, the database decides what is poison.
        "x-delivery-limit": 20,
        "x-consumer-timeout": DAY_MS,
    }
    full = f"{prefix}{name}"
    return Queue(
        full,
        Exchange(f"{prefix}sightline", type="direct", durable=True),
        routing_key=full,
        durable=True,
        queue_arguments=arguments if amqp else None,
    )


def _amqp_options() -> dict[str, Any]:
    return {"confirm_publish": True, "confirm_timeout": 5.0, "read_timeout": 5, "write_timeout": 5}


def _redis_options(settings: Settings) -> dict[str, Any]:
    return {
        "global_keyprefix": settings.queue_prefix,
        # What a process held when it was killed comes back so late. For a doorbell that does not matter; a producer's
        # submission has no other way. One that is only slow comes twice, which its idempotency key makes harmless.
        "visibility_timeout": 2 * settings.rering_seconds,
        "unacked_restore_interval": min(10.0, settings.rering_seconds),
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 30,
        "socket_timeout": 5,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        # A list that is asked answers within a second; one that is silent for so long is asked on a new connection.
        "health_check_interval": 5,
    }
