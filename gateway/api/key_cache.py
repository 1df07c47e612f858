"""Remembering for a few seconds whose key it is, so that a stream of requests does not ask the database each time.

A revoked key works that much longer, at most. Unknown keys are not remembered: whoever guesses pays for the lookup.
"""

import threading
import time
from collections.abc import Callable

from domain.access import Principal

TTL_S = 5.0
MOST = 4096


class KeyCache:
    """Principals by key. Safe for threads."""

    def __init__(self, ttl_s: float = TTL_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: dict[str, tuple[float, Principal]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> Principal | None:
        """Return whose key it is, if that is remembered and fresh."""
        with self._lock:
            until, principal = self._known.get(key, (0.0, None))
            return principal if self._clock() < until else None

    def put(self, key: str, principal: Principal) -> None:
        """Remember whose key it is."""
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = (self._clock() + self._ttl_s, principal)
