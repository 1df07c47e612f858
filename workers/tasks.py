"""The one task that carries doorbells. It takes job ids, puts them into the worker's own queue and returns."""

import logging
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from celery import Celery, Task

from workers.celery_app import IDS_PER_MESSAGE, MESSAGE_VERSION, RING

log = logging.getLogger(__name__)


def define_ring(app: Celery, hear: Callable[[Sequence[UUID]], None]) -> Task:
    """Give the app its doorbell task."""

    def ring(version: Any = None, ids: Any = ()) -> None:  # noqa: ANN401  (a message may hold anything)
        heard = parse_ring(version, ids)
        if heard:
            hear(heard)

    return app.task(ring, name=RING, ignore_result=True)


def parse_ring(version: object, ids: object) -> list[UUID]:
    """Return the ids of a doorbell; none of a message that cannot be one, which is logged and let go.

    Nothing is lost with it: the database knows what waits, and rings again.
    """
    if version != MESSAGE_VERSION or not isinstance(ids, list) or len(ids) > 10 * IDS_PER_MESSAGE:
        log.warning(
            "a message is no doorbell of this version",
            # Of what is no number only its type is told: it may be nested too deep to be written out.
            extra={"event": "ring.refused", "version": version if isinstance(version, int) else type(version).__name__},
        )
        return []
    heard = []
    for told in ids:
        try:
            heard.append(UUID(told))
        except (ValueError, AttributeError, TypeError):
            log.warning("a doorbell names no job", extra={"event": "ring.malformed"})
    return heard
