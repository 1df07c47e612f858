"""Remembering for a few seconds whose key it is, so that a stream of requests does not ask the database each time.

A revoked key works that much longer, at most. Unknown keys are not remembered: whoever guesses pays for the lookup.
"""

import math
import threading
import time
from collections.abc import Callable
from uuid import UUID

from domain.access import Principal

TTL_S = 5.0
MOST = 4096
NOTED_EVERY_S = 3600.0
"""How often the use of a key that is used all the time is written into the audit log."""


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


class KeyUse:
    """When which key's use was last written into the audit log, by this process. Safe for threads."""

    def __init__(self, every_s: float = NOTED_EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._noted: dict[UUID, float] = {}
        self._lock = threading.Lock()

    def due(self, key_id: UUID) -> bool:
        """Say whether a key's use is to be written now; whoever is told so writes it."""
        now = self._clock()
        with self._lock:
            if now - self._noted.get(key_id, -math.inf) < self._every_s:
                return False
            self._noted[key_id] = now
            return True

    def failed(self, key_id: UUID) -> None:
        """Have the use written at the next chance: this time it could not be."""
        with self._lock:
            self._noted.pop(key_id, None)
