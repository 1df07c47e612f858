"""What this worker is busy with, written where it survives the worker: a small memory-mapped file in DIR/run.

Before decoding and before a device call the job ids are noted; afterwards they are taken out. A process that dies in
native code (abort, out-of-memory kill) leaves its note in the page cache, and its successor reads which jobs to
suspect.
"""

import mmap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

SLOTS = 512
SLOT = 16
HEADER = 16
EMPTY = bytes(SLOT)


class Notes:
    """A file of slots: the worker's id, then the ids of the jobs that it is busy with."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it if need be. The caller holds the lock of this worker's number."""
        self._file = path.open("a+b")
        self._file.truncate(HEADER + SLOTS * SLOT)
        self._map = mmap.mmap(self._file.fileno(), HEADER + SLOTS * SLOT)
        self._lock = threading.Lock()
        self._slots: dict[UUID, int] = {}
        self._free = list(range(SLOTS))
        self._sealed = False

    def left_behind(self) -> tuple[UUID | None, frozenset[UUID]]:
        """Return the worker that wrote the file, and the jobs that it was busy with."""
        worker = bytes(self._map[:HEADER])
        slots = (bytes(self._map[start : start + SLOT]) for start in range(HEADER, len(self._map), SLOT))
        noted = frozenset(UUID(bytes=slot) for slot in slots if slot != EMPTY)
        return (UUID(bytes=worker) if worker != EMPTY else None), noted

    def begin(self, worker: UUID) -> None:
        """Start afresh, in this worker's name."""
        self._map[HEADER:] = bytes(SLOTS * SLOT)
        self._map[:HEADER] = worker.bytes

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

    def leave_only(self, jobs: Sequence[UUID]) -> None:
        """Leave the notes of these jobs and no others, and take no more: the rest were only there when this hung."""
        with self._lock:
            self._sealed = True  # other threads go on until the process has ended
            for job, slot in self._slots.items():
                if job not in jobs:
                    self._write(slot, EMPTY)
            for job in jobs:
                if job not in self._slots and self._free:
                    self._write(self._free.pop(), job.bytes)

    def close(self) -> None:
        """Leave an empty file: whoever ends in order has nothing to confess."""
        self._map[:] = bytes(len(self._map))
        self._map.close()
        self._file.close()

    def _write(self, slot: int, value: bytes) -> None:
        start = HEADER + slot * SLOT
        self._map[start : start + SLOT] = value
