"""Listening to a Redis broker: which doorbells it was given, id by id."""

import base64
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

PUSHED = re.compile(rb'"LPUSH" "(?P<queue>[^"]+)" .*?\\"body\\": \\"(?P<body>[A-Za-z0-9+/=]+)\\"')


class Doorbells:
    """What was published while it listened. Redis tells every command that it takes (MONITOR)."""

    def __init__(self) -> None:
        self.messages = 0
        self.rung: Counter[UUID] = Counter()
        """how often each job was rung for"""

    def take(self, line: bytes) -> None:
        """Count a line of MONITOR, if it is a doorbell."""
        found = PUSHED.search(line)
        if found:
            [_version, ids], *_ = json.loads(base64.b64decode(found["body"]))
            self.messages += 1
            self.rung.update(map(UUID, ids))


@contextmanager
def listening(port: int) -> Iterator[Doorbells]:
    """Listen to the Redis on this port of the loopback for as long as the block lasts."""
    doorbells = Doorbells()
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"MONITOR\r\n")
        told = line.makefile("rb")
        assert told.readline() == b"+OK\r\n"
        thread = threading.Thread(target=lambda: [doorbells.take(one) for one in told], daemon=True)
        thread.start()
        yield doorbells
        line.shutdown(socket.SHUT_RDWR)
        thread.join(5)
