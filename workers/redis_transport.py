"""Kombu's Redis transport with three faults mended that lose messages or leave a worker deaf (kombu 5.7.0).

- A message is popped first and noted as unacked afterwards. Where that is refused (the server's memory is full) or the
  line breaks between, the message was gone: a doorbell is rung again, a producer's submission is not.
- An ack that fails raises before it frees its place among the messages that may be in hand. Once every place is lost,
  nothing is asked for any more, for good, though the broker is back.
- A message that cannot be read (no JSON, no envelope, an encoding that nobody knows) raises through Celery's loop and
  ends it. Whoever can write to the list could so keep every worker from hearing.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
"""What Kombu was seen to raise at messages that nobody wrote with Kombu."""


class QoS(redis.QoS):  # type: ignore[misc]  # (Kombu has no types)
    """Keeps and frees a message's place whatever the broker says; at worst the message comes again."""

    def append(self, message: Any, delivery_tag: Any) -> None:  # noqa: ANN401
        """Note that a message is in hand; it has left its list, and is worked on even where that cannot be noted."""
        try:
            super().append(message, delivery_tag)
        except (RedisError, OSError) as error:
            log.warning("a message is not noted", extra={"event": "message.unnoted", "reason": str(error)[:200]})
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: Any) -> None:  # noqa: ANN401  (Kombu's own)
        """Ack."""
        with self._freeing(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:  # noqa: ANN401
        """Let go, or give back."""
        with self._freeing(delivery_tag):
            super().reject(delivery_tag, requeue=requeue)

    @contextmanager
    def _freeing(self, delivery_tag: Any) -> Iterator[None]:  # noqa: ANN401
        try:
            yield
        except BaseException:
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):  # type: ignore[misc]
    """Lets a message go that cannot be read. It has left the list by then, and the database rings again."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401
        try:
            return super()._brpop_read(**options)
        except UNREADABLE as error:
            log.warning("a message cannot be read", extra={"event": "message.unreadable", "reason": repr(error)[:200]})
            raise Empty from error


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's own, with that channel."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:  # noqa: ANN401
        """Deliver a message as one of the list that it came from.

        Its envelope names a queue too, and Kombu believes it. The intake tells the tenant by the queue, so whoever may
        write to one tenant's list could submit in another's name.
        """
        message["properties"]["delivery_info"]["routing_key"] = queue
        super()._deliver(message, queue)
