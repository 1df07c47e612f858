"""No request beyond the limits, in bytes or in time.

The line and the headers are counted here as well: the server's own limit holds only for those that come in pieces.

One that declares too many bytes is refused by its Content-Length; else they are counted as they come. Time counts only
while the gateway waits for the caller: a body may take `PATIENCE_S`, and a second more for each `RATE` bytes of it.
"""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import RequestTooLarge, RequestTooSlow
from gateway.api.problems import answer

MAX_HEAD_BYTES = 64 * 1024
PATIENCE_S = 30.0
RATE = 16 * 1024


class BodyLimit:
    """ASGI middleware that refuses request bodies of more than so many bytes with 413, slow ones with 408."""

    def __init__(self, app: ASGIApp, most: int, patience_s: float = PATIENCE_S) -> None:
        self._app = app
        self._most = most
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _head_bytes(scope) > MAX_HEAD_BYTES:
            too_long = RequestTooLarge(f"a request's line and headers have at most {MAX_HEAD_BYTES} bytes")
            await answer(too_long)(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._most:
            await answer(too_large(self._most))(scope, receive, send)
            return
        body = _Body(receive, send, self._most, self._patience_s)
        await self._app(scope, body.receive, body.send)


class _Body:
    """One request's body on its way in."""

    def __init__(self, receive: Receive, send: Send, most: int, patience_s: float) -> None:
        self._receive, self._send, self._most, self._patience_s = receive, send, most, patience_s
        self._came = 0
        self._waited_s = 0.0
        self._whole = False
        self._answered = False

    async def receive(self) -> Message:
        """Return the next part.

        Raises RequestTooLarge and RequestTooSlow.
        """
        if self._whole:  # what waits for here is the caller's leaving, however long that takes
            return await self._receive()
        message = await self._in_time()
        self._came += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._came > self._most:
            raise too_large(self._most)
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on."""
        self._answered = True
        await self._send(message)

    async def _in_time(self) -> Message:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience_s + self._came / RATE - self._waited_s):
                return await self._receive()
        except TimeoutError:
            if self._answered:  # a stream is under way: there is nobody to tell, and nothing more to wait for
                return {"type": "http.disconnect"}
            raise RequestTooSlow(
                f"of the body {self._came} bytes came in {self._patience_s + self._came / RATE:.0f} s; "
                f"a body may take {self._patience_s:g} s and a second more for each {RATE} bytes"
            ) from None
        finally:
            self._waited_s += time.monotonic() - began


def _head_bytes(scope: Scope) -> int:
    line = len(scope.get("raw_path", b"")) + len(scope["query_string"])
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def too_large(most: int) -> RequestTooLarge:
    """Return the refusal of a body with more bytes than that."""
    return RequestTooLarge(f"a request has at most {most} bytes; send large sets in several requests")
