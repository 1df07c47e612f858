"""The feed of events as server-sent events: the tenant's own, resumable, none twice and none missed."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from sse_starlette import EventSourceResponse, ServerSentEvent

from domain.access import Principal, Scope
from domain.errors import Unavailable
from gateway.api.access import Reader
from gateway.api.examples import EVENT_STREAM
from gateway.api.problems import responses
from gateway.api.resources import Resources, Served
from storage import feed
from storage.feed import FeedEvent

log = logging.getLogger(__name__)

router = APIRouter(tags=["events"])

PAGE = 500
POLL_S = 0.25
PAUSE_S = 1.0
"""Between looks while the database does not answer."""
HEARTBEAT_S = 15
LAST = 2**63 - 1
"""The last id that a database could give; SQLite takes no larger number to compare with."""


@router.get(
    "/v1/events",
    summary="Follow what happens",
    response_class=EventSourceResponse,
    responses={
        200: {"description": "a stream", "content": {"text/event-stream": {"example": EVENT_STREAM}}},
        **responses(401, 403, 422, 503),
    },
)
async def follow(
    served: Served,
    who: Reader,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=LAST, description="the last id seen; what came after it follows")
    ] = None,
    after: Annotated[int | None, Query(ge=0, le=LAST, description="the same, for a first request; 0 tells all")] = None,
) -> EventSourceResponse:
    """Stream the tenant's events from now on, or from behind the id given. A comment each 15 s keeps the line open."""
    start = last_event_id if last_event_id is not None else after
    if start is None:
        start = await served.read(feed.last, who.tenant)
    return EventSourceResponse(_stream(served, who, start), ping=HEARTBEAT_S, headers={"Cache-Control": "no-store"})


async def _stream(served: Resources, who: Principal, start: int) -> AsyncIterator[ServerSentEvent]:
    place, restricted = start, who.allows(Scope.RESTRICTED)
    # An id without data is no event, but what a reader reconnects with: so it misses none even before its first.
    yield ServerSentEvent(id=str(place), comment="following")
    while True:
        try:
            page = await served.read(feed.after, who.tenant, place, PAGE, restricted=restricted)
        except Unavailable as error:
            # The line stays open and the place is kept: a browser's reader that has to connect anew while the answer is
            # 503 gives up for good.
            log.warning("the feed waits", extra={"event": "feed.waits", "reason": error.message})
            await asyncio.sleep(PAUSE_S)
            continue
        for event in page:
            yield _told(event)
            place = event.feed_id
        if len(page) < PAGE:
            await asyncio.sleep(POLL_S)


def _told(event: FeedEvent) -> ServerSentEvent:
    body = {
        "job_id": str(event.job_id) if event.job_id else None,
        "created_at": event.created_at.isoformat(),
        **event.body,
    }
    return ServerSentEvent(json.dumps(body), event=event.type, id=str(event.feed_id))
