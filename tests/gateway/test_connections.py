"""When a connection is ended, by a clock of the test's own; tests/hostile/ has the same on real sockets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h11
import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.connections import AT_LEAST, Connection, Doing

TAKING_S = int(Doing.TAKING.value or 0)
AHEAD = 64 * 1024
"""What an application may have written that was not taken: asyncio's default."""


@dataclass
class Clock:
    """The part of an event loop that a connection needs."""

    now: float = 0.0
    due: Callable[[], None] | None = None

    def time(self) -> float:
        return self.now

    def call_later(self, _delay: float, due: Callable[[], None]) -> Any:
        self.due = due
        return self

    def cancel(self) -> None:
        self.due = None

    def tick(self) -> None:
        self.now += 1
        assert self.due is not None
        self.due()


@dataclass
class Line:
    """A transport whose other end takes what the test says."""

    unsent: int = 0
    ended: bool = False

    def write(self, data: bytes) -> None:
        self.unsent += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, _name: str) -> None:
        return None

    def abort(self) -> None:
        self.ended = True


async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """An application that is never asked."""


@pytest.mark.parametrize(
    ("takes", "stays"), [(2 * AT_LEAST, True), (AT_LEAST // 2, False), (0, False)], ids=["steady", "slow", "nothing"]
)
def test_a_reader_of_a_long_stream_is_kept_as_long_as_it_takes_enough(takes: int, stays: bool) -> None:
    # given a stream that is written as fast as its reader takes it, so that there is always something left to take
    clock, line = Clock(), Line()
    connection = Connection(Config(nothing), ServerState(), {}, clock)  # type: ignore[arg-type]
    connection.connection_made(line)  # type: ignore[arg-type]
    connection.conn.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.conn.next_event()
    line.write(connection.conn.send(h11.Response(status_code=200, headers=[])))
    for _ in range(4 * TAKING_S):
        # when it takes so much each second
        line.write(connection.conn.send(h11.Data(data=bytes(max(AHEAD - line.unsent, 0)))))
        line.unsent -= takes
        clock.tick()
        if line.ended:
            break
    # then it is cut off in its time, or never
    assert line.ended is not stays
    assert stays or clock.now <= TAKING_S + 3
