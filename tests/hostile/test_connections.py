"""Callers that are slow, silent, endless or talk no HTTP, on bare sockets: each ends in its time, others are served.

The limits, stated in gateway/connections.py and gateway/api/limits.py: 15 s for a request's head, 30 s (and one more
for each 16 KiB) for its body, 5 s for a body that has been answered already, 30 s in which nothing of an answer is
taken.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.hostile.conftest import Attacked, answers_meanwhile
from tests.hostile.pictures import chunk, png
from tests.support.system import TENANT

pytestmark = [pytest.mark.service, pytest.mark.fault]

SLACK_S = 8.0
"""What may come on top of a limit: looks once a second, and a busy machine."""


@dataclass
class Talk:
    """What was said on a connection, and what came back until it ended."""

    pieces: Sequence[bytes | float]
    endless: bytes = b""
    """said again and again afterwards, one byte a second or as fast as it goes"""
    fast: bool = False
    answer: bytes = b""
    took_s: float = 0.0
    thread: threading.Thread = field(init=False)

    def begin(self, port: int) -> None:
        """Talk, beside the others."""
        self.thread = threading.Thread(target=self._talk, args=(port,))
        self.thread.start()

    def _talk(self, port: int) -> None:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.settimeout(60)
            try:
                for piece in self.pieces:
                    if isinstance(piece, bytes):
                        line.sendall(piece)
                    else:
                        time.sleep(piece)
                if self.endless:
                    self._go_on(line, begun)
                line.settimeout(60)
                while got := line.recv(65536):
                    self.answer += got
            except OSError:
                pass  # ended by the other side, in mid-word: what it said before counts
            self.took_s = time.monotonic() - begun

    def _go_on(self, line: socket.socket, begun: float) -> None:
        line.settimeout(0.0 if self.fast else 1.0)
        while time.monotonic() - begun < 60:
            try:
                got = line.recv(65536)
                self.answer += got
                if not got:
                    return
            except (TimeoutError, BlockingIOError):
                line.setblocking(True)
                line.sendall(self.endless)
                line.settimeout(0.001 if self.fast else 1.0)

    @property
    def status(self) -> int | None:
        """The status of the answer; None where there is none."""
        return int(self.answer.split(b" ")[1]) if self.answer.startswith(b"HTTP/1.1 ") else None

    @property
    def code(self) -> str:
        """The code of the refusal."""
        return str(json.loads(self.answer.partition(b"\r\n\r\n")[2])["code"])


def head(attacked: Attacked, line: str = "POST /v1/jobs", *headers: str) -> bytes:
    told = ["Host: x", f"Authorization: {attacked.key}", *headers]
    return (f"{line} HTTP/1.1\r\n" + "\r\n".join(told) + "\r\n\r\n").encode()


def talk_all(attacked: Attacked, talks: dict[str, Talk]) -> None:
    """Begin them all at once, and ask for something else meanwhile."""
    for talk in talks.values():
        talk.begin(attacked.port)
    slowest = 0.0
    while any(talk.thread.is_alive() for talk in talks.values()):
        slowest = max(slowest, answers_meanwhile(attacked))
        time.sleep(0.2)
    assert slowest < 5, "others are served meanwhile"


@pytest.mark.timeout(180)
def test_a_slow_caller_is_told_and_cut_off_in_its_time_and_blocks_nobody(attacked: Attacked) -> None:
    # given callers that say nothing, half a head, or drip; at each limit, more of them than the gateway has threads
    form = "Content-Type: multipart/form-data; boundary=B"
    part = b'--B\r\nContent-Disposition: form-data; name="images"; filename="x"\r\n\r\n'
    slow_head = {
        "nothing": Talk([]),
        "half a head": Talk([b"GET /healthz HTTP/1.1\r\nHo"]),
        "a head that drips": Talk([b"GET /healthz HTTP/1.1\r\nHost: "], endless=b"x"),
        "a second head": Talk([b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 0.5, b"GET /hea"]),
    }
    slow_body = {
        "a short body": Talk([head(attacked, "POST /v1/jobs", "Content-Length: 100"), b"{}"]),
        "a body that drips": Talk([head(attacked, "POST /v1/jobs", "Content-Length: 999")], endless=b"x"),
        "a form that drips": Talk([head(attacked, "POST /v1/jobs", form, "Content-Length: 999"), part], endless=b"x"),
        "a chunk that never ends": Talk([head(attacked, "POST /v1/jobs", "Transfer-Encoding: chunked"), b"FFFF\r\n{"]),
        **{f"image {at}": Talk([head(attacked, "POST /v1/images", "Content-Length: 9999"), b"x"]) for at in range(40)},
    }
    answered = {
        "no key": Talk([b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"], endless=b"x"),
        "a body nobody asked for": Talk([b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"]),
    }
    # when they all talk at once
    talk_all(attacked, {**slow_head, **slow_body, **answered})
    # then each is ended in its time; who had begun is told why
    for name, talk in slow_head.items():
        assert talk.took_s < 15 + SLACK_S, (name, talk.took_s)
    # One that still talks may lose the words to the reset of its line.
    assert slow_head["half a head"].code == "request_too_slow"
    assert slow_head["nothing"].answer == b""
    for name, talk in slow_body.items():
        assert (talk.status, talk.code) == (408, "request_too_slow"), (name, talk.answer)
        assert talk.took_s < 30 + 5 + SLACK_S, (name, talk.took_s)
    assert [talk.status for talk in answered.values()] == [401, 200]
    assert all(talk.took_s < 5 + SLACK_S for talk in answered.values())


@pytest.mark.timeout(180)
def test_a_body_that_never_ends_is_refused_at_the_limit_however_it_comes(attacked: Attacked) -> None:
    # given bodies without an end, as fast as they go: as a form, bare, as a batch, and with a length that lies
    form = "Content-Type: multipart/form-data; boundary=B"
    part = b'--B\r\nContent-Disposition: form-data; name="images"; filename="x"\r\n\r\n'
    piece = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    chunked = "Transfer-Encoding: chunked"
    opening = b"%x\r\n%b\r\n" % (len(part), part)
    talks = {
        "form": Talk([head(attacked, "POST /v1/jobs", form, chunked), opening], endless=piece, fast=True),
        "image": Talk([head(attacked, "POST /v1/images", chunked)], endless=piece, fast=True),
        "batch": Talk([head(attacked, "POST /v1/jobs:batch", chunked)], endless=piece, fast=True),
        "length": Talk([head(attacked, "POST /v1/jobs", form, f"Content-Length: {2**62}"), part]),
    }
    # when they are sent
    talk_all(attacked, talks)
    # then each is too large
    for name, talk in talks.items():
        assert (talk.status, talk.code.endswith("too_large")) == (413, True), (name, talk.answer[:300])


def nonsense(attacked: Attacked) -> Iterator[tuple[str, bytes, int]]:
    for name, said, status in (
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9, 422),
        ("HTTP/0.9", b"GET /\r\n\r\n", 422),
        ("no host", b"GET /healthz HTTP/1.1\r\n\r\n", 422),
        ("NUL in a header", b"GET /healthz HTTP/1.1\r\nHost: x\r\na: \0\r\n\r\n", 422),
        ("bytes in a path", b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 422),
        ("a long path", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 413),
        ("another's address", b"GET http://other/v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        ("an upgrade", b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    ):
        yield name, said, status
    for name, headers, body, status in (
        ("a long header", ["a: " + "b" * 100_000], b"", 413),
        ("many headers", [f"a{at}: b" for at in range(10_000)], b"", 413),
        ("no length", ["Content-Length: -1"], b"{}", 422),
        ("a length of 5,000 digits", ["Content-Length: " + "9" * 5_000], b"{}", 422),
        ("two lengths", ["Content-Length: 2", "Content-Length: 3"], b"{}", 422),
        ("a length and chunks", ["Content-Length: 9", "Transfer-Encoding: chunked"], b"0\r\n\r\n", 422),
        ("another encoding", ["Transfer-Encoding: gzip"], b"{}", 422),
        ("no chunk", ["Transfer-Encoding: chunked"], b"zz\r\nhello\r\n", 422),
        ("a chunk of 2^200", ["Transfer-Encoding: chunked"], b"f" * 50 + b"\r\nhello\r\n", 422),
        ("a chunk's note", ["Transfer-Encoding: chunked"], b"2;" + b"a" * 300_000 + b"\r\n{}\r\n0\r\n\r\n", 413),
        ("trailers", ["Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n" + b"a: b\r\n" * 100_000 + b"\r\n", 413),
    ):
        yield name, head(attacked, "POST /v1/jobs", *headers, "Connection: close") + body, status


def test_what_is_no_http_is_refused_with_a_problem_document(attacked: Attacked) -> None:
    # given all that a scanner, a smuggler or a broken proxy would send
    told = list(nonsense(attacked))
    talks = {name: Talk([said]) for name, said, _ in told}
    # when it comes
    talk_all(attacked, talks)
    # then each is refused in words, or was fine after all
    for name, _, status in told:
        talk = talks[name]
        # Chunks may come in pieces that are small enough, so that there is an answer before the limit is seen.
        assert talk.status in {status, 422}, (name, talk.answer[:500])
        assert talk.status == 200 or talk.code, name
        assert b"application/json" in talk.answer or b"application/problem+json" in talk.answer


@pytest.mark.timeout(180)
def test_a_slow_reader_of_a_picture_or_of_the_feed_is_cut_off_and_holds_nothing(attacked: Attacked) -> None:
    # given a large picture, and callers that ask for it or for the feed and take nothing of it
    data = os.urandom(8_000_000)
    sha256 = attacked.client.post("/v1/images", content=png(chunk(b"abCd", data))).json()["sha256"]
    # more of them than the gateway has threads, and database connections
    pictures = [_asked(attacked, f"GET /v1/images/{sha256}") for _ in range(20)]
    feeds = [_asked(attacked, "GET /v1/events?after=0") for _ in range(20)]
    # when they wait
    time.sleep(1)
    assert answers_meanwhile(attacked) < 5
    assert _held(attacked, pictures) == 20
    # then those of the picture are cut off in their time, with what they held; a feed that is quiet may stay
    until = time.monotonic() + 30 + SLACK_S
    while _held(attacked, pictures) and time.monotonic() < until:
        assert answers_meanwhile(attacked) < 5
        time.sleep(0.5)
    assert _held(attacked, pictures) == 0
    for line in pictures + feeds:
        line.close()


def _asked(attacked: Attacked, path: str) -> socket.socket:
    """Return a connection on which something was asked for, and that has hardly room for the answer."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", attacked.port))
    line.sendall(head(attacked, path))
    return line


def _held(attacked: Attacked, callers: Sequence[socket.socket]) -> int:
    """Count the connections with these callers that the gateway holds."""
    port, theirs = f"{attacked.port:04X}", {f"{caller.getsockname()[1]:04X}" for caller in callers}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    here = (row for row in rows if row[1].endswith(f":{port}") and row[3] in {"01", "08"})
    return sum(1 for row in here if row[2].rpartition(":")[2] in theirs)


def test_whoever_leaves_in_mid_request_leaves_nothing_behind(attacked: Attacked) -> None:
    # given callers that hang up in the middle of a body, of an answer, of the feed and of a wait
    for _ in range(20):
        for said in (
            head(attacked, "POST /v1/images", "Content-Length: 99999") + b"x" * 100,
            head(attacked, "GET /v1/events?after=0"),
            head(attacked, "GET /metrics"),
        ):
            with socket.create_connection(("127.0.0.1", attacked.port)) as line:
                line.sendall(said)
    # when others ask
    # then they are served, and no crash is in the log (the fixture looks)
    assert answers_meanwhile(attacked) < 5
    assert TENANT in attacked.client.get("/v1/jobs?limit=1").text
