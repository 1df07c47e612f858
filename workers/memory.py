"""How much memory this process holds, and how much it may hold before the kernel would take something away.

The kernel's out-of-memory killer takes what it likes: a database as soon as the worker that is at fault. So a worker
ends itself somewhat earlier (`watchdog.py`). Where the limit of a cgroup (a container) is smaller than the machine, it
is the one that counts; both layouts, v1 and v2, are read.
"""

import os
from collections.abc import Iterator
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SHARE = 0.9
"""How much of the machine's or the container's memory a worker may hold where no setting says otherwise."""

MODELS_SHARE = 0.7
"""How much of that the models' budget may be: what a job holds besides comes on top, and over the limit is the end."""


def resident_bytes() -> int:
    """Return the memory that this process holds (RSS)."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES


def default_limit(root: Path = Path("/")) -> int:
    """Return `SHARE` of the smaller of the machine's memory and the limits of this process's cgroups, in bytes."""
    machine = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES
    return int(SHARE * min([machine, *_cgroup_limits(root)]))


def models_budget(wanted: int, limit: int) -> int:
    """Return the models' budget: what was asked for, and no more than `MODELS_SHARE` of what the process may hold.

    Above it the watchdog would end the process before the first eviction, again and again.
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
