"""How much a process may hold: the machine's memory, or the smallest limit of its cgroups."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.system import ROOT
from workers.memory import SHARE, default_limit, models_budget, resident_bytes

GIGABYTE = 1024**3
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "ascii")


def test_without_cgroups_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert default_limit(tmp_path) == int(SHARE * MACHINE)
    assert 0 < resident_bytes() < MACHINE


def test_the_smallest_limit_on_the_way_up_counts_in_v2(tmp_path: Path) -> None:
    # given a process in a group of its own, whose parent has a limit
    file(tmp_path / "proc/self/cgroup", "0::/pods/worker\n")
    file(tmp_path / "sys/fs/cgroup/pods/worker/memory.max", "max\n")
    file(tmp_path / "sys/fs/cgroup/pods/memory.max", f"{GIGABYTE}\n")
    # then the parent's counts
    assert default_limit(tmp_path) == int(SHARE * GIGABYTE)


def test_the_memory_controller_is_asked_in_v1(tmp_path: Path) -> None:
    # given the older layout: a hierarchy for each controller, and a number larger than any machine for no limit
    file(tmp_path / "proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/elsewhere\n0::/\n")
    file(tmp_path / "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", f"{GIGABYTE // 2}\n")
    file(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert default_limit(tmp_path) == int(SHARE * (GIGABYTE // 2))


def test_within_a_container_that_does_not_see_its_own_path_the_top_counts(tmp_path: Path) -> None:
    # given a path that only the host knows
    file(tmp_path / "proc/self/cgroup", "4:memory:/docker/abc\n")
    file(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{GIGABYTE}\n")
    assert default_limit(tmp_path) == int(SHARE * GIGABYTE)


def test_models_are_evicted_before_the_process_is_ended() -> None:
    # given the default budget of 6 GB, on a machine that has room for it, and one of 4 GB that has not
    # then what was asked for is taken only where the limit of the process is well above it
    assert models_budget(6 * GIGABYTE, 30 * GIGABYTE) == 6 * GIGABYTE
    assert models_budget(6 * GIGABYTE, 4 * GIGABYTE) == int(0.7 * 4 * GIGABYTE)


FREED = """
from workers.memory import give_back, resident_bytes

before = resident_bytes()
kept, pieces = [], []
for _ in range(4_000):
    pieces.append(b"x" * 100_000)
    kept.append(bytearray(1_000))
held = resident_bytes() - before
del pieces
give_back()
print(held, resident_bytes() - before, len(kept))
"""


def test_what_was_freed_in_small_pieces_is_given_back_to_the_system() -> None:
    # given 400 MB in pieces of 100 kB, each beside something that stays, in a process that holds nothing else
    told = subprocess.run([sys.executable, "-c", FREED], cwd=ROOT, capture_output=True, text=True, check=True)
    held, after, kept = map(int, told.stdout.split())
    assert held > 300_000_000
    assert kept == 4_000
    # when they are freed and given back, then it holds them no longer
    assert after < 100_000_000
