"""Waiting for what must come, with a limit."""

import socket
import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait until a condition holds and return after how many seconds; fail when it does not in time."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > within_s:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - begun


def wait_for_port(port: int, within_s: float = 20.0) -> None:
    """Wait until somebody listens on a port of the loopback."""
    begun = time.monotonic()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() - begun > within_s:
                raise
            time.sleep(0.05)
