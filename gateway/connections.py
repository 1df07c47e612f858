"""Connections that end: uvicorn's HTTP protocol with time limits on callers, and with problem documents.

uvicorn waits for ever for a request's line and headers, for an answer to be taken, and for the end of a body that
nobody reads any more; each costs a file descriptor and a buffer, and a stranger needs no key for it. Its own limits
(`timeout_keep_alive`, the size of a request's head) hold beside these. A body that is being read has its limits in
`api/limits.py`, where the caller can still be told.
"""

import asyncio
import sys
from enum import Enum
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from domain.errors import InvalidRequest, RequestTooLarge, RequestTooSlow, SightlineError
from gateway.api.limits import MAX_HEAD_BYTES
from gateway.api.problems import STATUSES, answer

LOOK_EVERY_S = 1.0
AT_LEAST = 16 * 1024
"""Bytes a second that a caller has to take of an answer, on the average of its time limit."""


class Doing(Enum):
    """What a connection waits for; the value is how many seconds that may take, where it is the caller's turn."""

    WORK = None
    """the application, or a body that is being read"""
    HEAD = 15.0
    """the line and the headers of a request"""
    TAKING = 30.0
    """the caller to take what was answered"""
    UNREAD = 5.0
    """the end of a body that has been answered already"""


class _Counted(h11.Connection):
    """h11's side of a connection, which counts the bytes that it had sent."""

    sent = 0

    def send(self, event: h11.Event) -> Any:  # noqa: ANN401  (h11 overloads it)
        said = super().send(event)
        self.sent += len(said or b"")
        return said


class Connection(H11Protocol):
    """One caller's connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Watch it from its first moment: the first byte may never come."""
        super().connection_made(transport)
        self.conn = self._counted = _Counted(h11.SERVER, self.config.h11_max_incomplete_event_size or MAX_HEAD_BYTES)
        self._doing, self._since, self._taken = Doing.HEAD, self.loop.time(), 0
        self._watch = self.loop.call_later(LOOK_EVERY_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self._watch.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has a head over the limit, with a problem document."""
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 400) == 431:
            self._refuse(RequestTooLarge("the request's line and headers are longer than is taken"))
        else:
            # Behind the colon h11 quotes the line that it could not read, which may be the one with the key.
            self._refuse(InvalidRequest(f"the request is not HTTP: {str(error or msg).partition(':')[0]}"))

    def _look(self) -> None:
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        # Not what is unsent tells it: of a stream there is never more than the application may run ahead.
        doing, taken = self._now_doing(unsent), self._counted.sent - unsent
        enough = doing is Doing.TAKING and taken - self._taken >= AT_LEAST * float(Doing.TAKING.value)
        if doing is not self._doing or enough:
            self._doing, self._since, self._taken = doing, now, taken
        elif doing.value is not None and now - self._since > doing.value:
            self._end()
        self._watch = self.loop.call_later(LOOK_EVERY_S, self._look)

    def _now_doing(self, unsent: int) -> Doing:
        if unsent:
            return Doing.TAKING
        if self.conn.their_state is h11.SEND_BODY and self.conn.our_state in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED}:
            return Doing.UNREAD
        # Between two requests uvicorn's own timer runs, until the next one's first byte.
        begun = self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None
        return Doing.HEAD if begun else Doing.WORK

    def _end(self) -> None:
        if self._doing is Doing.HEAD and self.conn.trailing_data[0]:
            self._refuse(RequestTooSlow(f"the request's line and headers did not come within {Doing.HEAD.value:g} s"))
        else:
            # Not `close`, which waits for its buffer to empty: that is what does not happen.
            self.transport.abort()

    def _refuse(self, error: SightlineError) -> None:
        """Answer in place of the application, if nothing is being answered, and close."""
        document, status = answer(error), STATUSES[error.code]
        headers = [*document.raw_headers, (b"connection", b"close")]
        try:
            for event in (
                h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase),
                h11.Data(data=bytes(document.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            pass  # an answer is under way or was given already
        self.transport.close()
