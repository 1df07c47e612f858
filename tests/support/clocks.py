"""Processes whose clocks are wrong: libfaketime, which leaves durations (the monotonic clock) alone."""

from pathlib import Path

from tests.support.absent import absent
from tests.support.system import ROOT

DURATIONS_STAY = {
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "NO_FAKE_STAT": "1",  # the file system's clock is not the process's
}


def _preloaded() -> dict[str, str]:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        absent("libfaketime is not installed")
    return {"LD_PRELOAD": str(found[0]), **DURATIONS_STAY}


def off_by(seconds: int) -> dict[str, str]:
    """Return the environment of a process whose clock is that far ahead (behind, if negative)."""
    return {**_preloaded(), "FAKETIME": f"{seconds:+d}s"}


LOOK_S = 1


class Clock:
    """The clock of several processes together, which can be set while they run; all see it within `LOOK_S`."""

    def __init__(self, file: Path, seconds: int) -> None:
        self._file = file
        self.set(seconds)
        self.environment = {
            **_preloaded(),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": str(LOOK_S),  # without, each look at a clock opens the file, which is too slow
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support' / 'under_faketime'}",
        }

    def set(self, seconds: int) -> None:
        """Be that far ahead of the true time, or behind it, from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}s\n")
        fresh.replace(self._file)
