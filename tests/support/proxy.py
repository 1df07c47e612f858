"""A TCP proxy that a test puts before a server, to cut the line as networks do.

`cut` drops what is sent and resets nothing: the peers see a line that has gone silent, and new connections are taken
and never answered. It may cut one way only; `strand` cuts only the lines that are there now, for good. `refuse` resets
everything and takes no connection. `heal` undoes them; what a cut line held back arrives late then, as it may after a
real outage.
"""

import select
import socket
import threading
import time
from dataclasses import dataclass, field
from enum import Enum

CHUNK = 65_536
TURN_S = 0.05
COMMIT = b"COMMIT\x00"
"""A transaction's end as PostgreSQL is asked for it."""


class Way(Enum):
    """A direction of a line."""

    ASKING = "from the client to the server"
    ANSWERING = "from the server to the client"


BOTH = frozenset(Way)


@dataclass(eq=False)
class _Line:
    """A client's connection and the one to the server, which is made when the line is whole."""

    client: socket.socket
    server: socket.socket | None = None
    closed: bool = False
    stranded: bool = False
    mute: bool = False
    """its answers are lost"""
    asked: bytes = b""
    """what the client sent since its last COMMIT"""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        """Reset both ends; once, whoever comes first: the proxy, or the thread that carries."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
        for end in (self.client, self.server):
            if end is not None:
                # No lingering: a reset, so that nobody waits for what will not come.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                end.close()


@dataclass
class Proxy:
    """Listens on a free port of `host` and passes on to the port `target` of the loopback."""

    target: int
    port: int = 0
    host: str = "127.0.0.1"
    passed: int = 0
    """bytes that went through, in both directions"""
    _lines: list[_Line] = field(default_factory=list)
    lost: int = 0
    """answers to commits that were lost on purpose"""
    _cut: frozenset[Way] = frozenset()
    _losing: bytes = b""
    _closing: bool = False
    _listener: socket.socket | None = None

    def __post_init__(self) -> None:
        self._listen()

    def _listen(self) -> None:
        self._listener = socket.create_server((self.host, self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self, *ways: Way) -> None:
        """Let nothing through, both ways or the ways given, and say nothing."""
        self._cut = frozenset(ways) or BOTH

    def strand(self) -> None:
        """Cut the lines that are there now, for good; new ones work. So does a firewall that forgot its state."""
        for line in list(self._lines):
            line.stranded = True

    def lose_the_answer_to(self, statement: bytes) -> None:
        """Pass on the COMMIT of the next transaction with this in a statement; lose its answer and all that follow."""
        self._losing = statement

    def refuse(self) -> None:
        """Reset every connection and take no new one."""
        self._stop_listening()
        for line in list(self._lines):
            line.close()
        self._lines.clear()

    def heal(self) -> None:
        """Pass on again."""
        if self._listener is None:
            self._listen()
        self._cut = frozenset()

    def close(self) -> None:
        """End everything."""
        self._closing = True
        self.refuse()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            # Closing alone would leave the thread in accept(), and with it the port open for one more client.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            line = _Line(client)
            self._lines.append(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: _Line) -> None:
        try:
            while not self._passes(line, Way.ASKING):
                if self._closing or line.closed:
                    return
                time.sleep(TURN_S)
            line.server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            line.server.settimeout(None)
            self._carry(line)
        except (OSError, ValueError):
            pass  # an end is gone, or was closed under our hands
        finally:
            line.close()
            if line in self._lines:
                self._lines.remove(line)

    def _passes(self, line: _Line, way: Way) -> bool:
        return way not in self._cut and not line.stranded and not (line.mute and way is Way.ANSWERING)

    def _note(self, line: _Line, data: bytes) -> None:
        line.asked += data
        if COMMIT in line.asked[-len(data) - len(COMMIT) :]:
            if self._losing and self._losing in line.asked:
                line.mute, self._losing = True, b""
                self.lost += 1
            line.asked = b""

    def _carry(self, line: _Line) -> None:
        assert line.server is not None
        ways = {line.client: (Way.ASKING, line.server), line.server: (Way.ANSWERING, line.client)}
        while not self._closing and not line.closed:
            # Of a way that is cut nothing is read, its end neither: whoever leaves is not missed on the other side.
            heard = [source for source, (way, _) in ways.items() if self._passes(line, way)]
            if not heard:
                time.sleep(TURN_S)
                continue
            for source in select.select(heard, [], [], TURN_S)[0]:
                way, sink = ways[source]
                if self._passes(line, way):
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    if way is Way.ASKING:
                        self._note(line, data)
                    sink.sendall(data)
                    self.passed += len(data)
