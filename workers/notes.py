"""What this worker is busy with, written where it survives the worker: a small memory-mapped file in DIR/run.

Before decoding and before a device call the job ids are noted; afterwards they are taken out. A process that dies in
native code (abort, out-of-memory kill) leaves its note in the page cache, and its successor reads which jobs to
suspect.
"""

import mmap
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from domain.texts import printable
from storage.processes import refusals_told

SLOTS = 512
SLOT = 16
HEADER = 16
LAST_WORDS = 256
LAST_CHARACTERS = 160
"""How many of its last words are told: the column has 200, and they are introduced."""
LENGTH = HEADER + SLOTS * SLOT + LAST_WORDS
EMPTY = bytes(SLOT)


class Notes:
    """A file of slots: the worker's id, the ids of the jobs that it is busy with, and why it ended, if it knew."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it if need be. The caller holds the lock of this worker's number.

        Raises StorageFull and StorageUnavailable.
        """
        with refusals_told(path.parent):
            self._file = path.open("a+b")
            self._file.truncate(LENGTH)
            # Its blocks are taken now: a note for which a full disk has none would end this process (SIGBUS).
            os.posix_fallocate(self._file.fileno(), 0, LENGTH)
        self._map = mmap.mmap(self._file.fileno(), LENGTH)
        self._lock = threading.Lock()
        self._slots: dict[UUID, int] = {}
        self._free = list(range(SLOTS))
        self._sealed = False

    def left_behind(self) -> tuple[UUID | None, frozenset[UUID]]:
        """Return the worker that wrote the file, and the jobs that it was busy with."""
        worker = bytes(self._map[:HEADER])
        starts = range(HEADER, HEADER + SLOTS * SLOT, SLOT)
        slots = (bytes(self._map[start : start + SLOT]) for start in starts)
        noted = frozenset(UUID(bytes=slot) for slot in slots if slot != EMPTY)
        return (UUID(bytes=worker) if worker != EMPTY else None), noted

    def last_words(self) -> str:
        """Return why the worker that wrote the file ended; empty where it could not say (killed, aborted).

        Whatever a broken disk left there, a database takes it: refused, it would refuse every successor too.
        """
        return printable(bytes(self._map[-LAST_WORDS:]).rstrip(b"\0").decode("utf-8", "replace"), LAST_CHARACTERS)

    def say(self, why: str) -> None:
        """Write why this process ends, for its successor to tell."""
        told = why.encode()[:LAST_WORDS]
        self._map[-LAST_WORDS:] = told.ljust(LAST_WORDS, b"\0")

    def begin(self, worker: UUID) -> None:
        """Start afresh, in this worker's name, with what this process is busy with.

        A lease that lapsed is followed by another while calls of the old one are still on the device: whoever noted
        them believes that they are noted.
        """
        with self._lock:
            if self._sealed:  # what is there says why this process ends
                self._map[:HEADER] = worker.bytes
                return
            slots = bytearray(SLOTS * SLOT)
            for job, slot in self._slots.items():
                slots[slot * SLOT : (slot + 1) * SLOT] = job.bytes
            self._map[:] = worker.bytes + bytes(slots) + bytes(LAST_WORDS)  # at once: never without a note

    @contextmanager
    def noting(self, jobs: Sequence[UUID]) -> Iterator[None]:
        """Note jobs for as long as the block runs."""
        with self._lock:
            fresh = [] if self._sealed else [job for job in jobs if job not in self._slots]
            mine = {job: self._free.pop() for job in fresh if self._free}
            self._slots |= mine
            for job, slot in mine.items():
                self._write(slot, job.bytes)
        try:
            yield
        finally:
            with self._lock:
                for job, slot in mine.items():
                    self._write(slot, EMPTY)
                    self._free.append(slot)
                    del self._slots[job]

    def leave_only(self, jobs: Collection[UUID]) -> None:
        """Leave the notes of these jobs and no others, and take no more: the rest were only there when this hung."""
        with self._lock:
            self._sealed = True  # other threads go on until the process has ended
            for job, slot in self._slots.items():
                if job not in jobs:
                    self._write(slot, EMPTY)
            for job in jobs:
                if job not in self._slots and self._free:
                    self._write(self._free.pop(), job.bytes)

    def clear(self) -> None:
        """Forget what a predecessor left."""
        self._map[:] = bytes(LENGTH)

    def close(self) -> None:
        """Leave an empty file: whoever ends in order has nothing to confess."""
        self.clear()
        self._map.close()
        self._file.close()

    def _write(self, slot: int, value: bytes) -> None:
        start = HEADER + slot * SLOT
        self._map[start : start + SLOT] = value
