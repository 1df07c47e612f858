"""No request body beyond the limit: refused by its Content-Length, or counted as it comes where it has none."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import RequestTooLarge
from gateway.api.problems import answer


class BodyLimit:
    """ASGI middleware that refuses request bodies of more than so many bytes with 413."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._most:
            await answer(self._refusal())(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._most:
                raise self._refusal()
            return message

        await self._app(scope, counted, send)

    def _refusal(self) -> RequestTooLarge:
        return RequestTooLarge(f"a request has at most {self._most} bytes; send large sets in several requests")
