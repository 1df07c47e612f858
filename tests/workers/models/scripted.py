"""A server of chat completions that answers as a test tells it: with anything, late, or not at all."""

import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What a server answers with; `of` is the length that it promises, `wait` how long it takes."""

    status: int = 200
    body: str = ""
    of: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0


@dataclass
class Scripted:
    """A server that answers as a test tells it, and keeps what it was sent."""

    url: str
    says: Callable[[int, dict[str, Any]], Reply]
    """of the request's number, from 0, and its body"""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    left: threading.Event = field(default_factory=threading.Event)
    """set once a client has gone before its answer"""
    lock: threading.Lock = field(default_factory=threading.Lock)


def completion(text: str | None, positions: Sequence[dict[str, Any]] = (), **more: Any) -> str:
    """Return what a server answers with that says a text; `positions` are its tokens."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
    return json.dumps({"choices": [choice | ({"logprobs": {"content": list(positions)}} if positions else {})]})


def position(token: str, **alternatives: float) -> dict[str, Any]:
    """Return a token as servers tell of it; the alternatives' probabilities by name."""
    top = [{"token": name, "logprob": math.log(share)} for name, share in alternatives.items()]
    return {"token": token, "logprob": math.log(alternatives[token]), "top_logprobs": top}


@contextmanager
def scripted() -> Iterator[Scripted]:
    """Run such a server. Until told otherwise it says `yes`."""
    script = Scripted("", lambda _, __: Reply(body=completion("yes")))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with script.lock:
                number = len(script.requests)
                script.requests.append(body)
                script.headers.append({name.lower(): value for name, value in self.headers.items()})
                script.in_flight += 1
                script.most_in_flight = max(script.in_flight, script.most_in_flight)
            reply = script.says(number, body)
            try:
                self._wait(reply.wait)
                self._answer(reply)
            finally:
                with script.lock:
                    script.in_flight -= 1

        def _wait(self, seconds: float) -> None:
            self.connection.settimeout(max(seconds, 0.001))
            try:
                if not self.connection.recv(1):
                    script.left.set()
            except TimeoutError:
                self.connection.settimeout(None)

        def _answer(self, reply: Reply) -> None:
            content = reply.body.encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) if reply.of is None else reply.of))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = reply.of is not None

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            """A client that goes is no news here."""

    http = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    script.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield script
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
