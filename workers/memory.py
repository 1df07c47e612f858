"""How much memory a device has for models, how much this process holds, and how much it may hold of the machine's.

The kernel's out-of-memory killer takes what it likes: a database as soon as the worker that is at fault. So a worker
ends itself somewhat earlier (`watchdog.py`). Where the limit of a cgroup (a container) is smaller than the machine, it
is the one that counts; both layouts, v1 and v2, are read.
"""

import ctypes
import gc
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SHARE = 0.9
"""How much of the machine's or the container's memory a worker may hold where no setting says otherwise."""

MODELS_SHARE = 0.7
"""How much of a device's memory the models' budget may be: what a job or a batch holds besides comes on top."""


def resident_bytes() -> int:
    """Return the memory that this process holds (RSS)."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES


@dataclass(frozen=True)
class Memory:
    """The memory of a device, in bytes: by default this machine's, of which this process holds a part."""

    budget: float
    """models are evicted when more would be taken"""
    used: Callable[[], int] = resident_bytes
    """how much is taken, by whomever it counts against"""
    own: Callable[[], int] = resident_bytes
    """how much this process holds, by which a model is weighed"""


UNBOUNDED = Memory(math.inf)


def give_back() -> None:
    """Return what was freed to the system.

    Of what a model held in pieces of less than 32 MB, glibc would keep nearly all, and the next eviction would be for
    memory that is free. Another C library has no such call; then what it keeps is used again by the next load.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def default_limit(root: Path = Path("/")) -> int:
    """Return `SHARE` of the smaller of the machine's memory and the limits of this process's cgroups, in bytes."""
    machine = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES
    return int(SHARE * min([machine, *_cgroup_limits(root)]))


def models_budget(wanted: int, limit: int) -> int:
    """Return the models' budget on the host: what was asked for, and no more than `MODELS_SHARE` of the limit.

    `limit` is what the process may hold. Above it the watchdog would end the process before the first eviction, again
    and again.
    """
    return min(wanted, int(MODELS_SHARE * limit))


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Yield the limits of this process's cgroups and of those above: each of them holds."""
    try:
        memberships = (root / "proc/self/cgroup").read_text("ascii").splitlines()
    except OSError:
        return
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, file = ("memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
        top = root / "sys/fs/cgroup" / mount
        folder = top / path.lstrip("/")
        # Within a container the path may be one that only the host knows: then the top is the container's own.
        for place in (folder, *folder.parents):
            if place.is_relative_to(top):
                yield from _number(place / file)


def _number(file: Path) -> Iterator[int]:
    try:
        told = file.read_text("ascii").strip()
    except OSError:
        return
    if told.isdigit():  # v2 says "max" where there is no limit, v1 a number larger than any machine
        yield int(told)
