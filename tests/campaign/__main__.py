"""Run the campaign: `python -m tests.campaign --times 5 --minutes 60`, or `make faults N=5 MINUTES=60`.

Each fault that many times, storms in between and afterwards for as long as there is time, and each guard taken out
once. A campaign that was stopped goes on where it was. The report in docs/reliability.md is written at the end, also
of one that ran out of time; `--report-only` writes it of what has been seen so far.
"""

import argparse
import sys
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from tests.campaign import report
from tests.campaign.running import run, told_by
from tests.campaign.seen import ROOT, Book, Seen, fingerprint, times
from tests.guards.__main__ import control, noticed
from tests.guards.catalogue import GUARDS, Guard

BOOK = ROOT / ".faults" / "seen.jsonl"
STORMS = "tests/faults/test_storms.py"
STORM_S = "30"
STORMS_A_ROUND = 2


def units(rounds: int) -> Iterator[tuple[str, str, int]]:
    """Yield (unit, file, which time) in the order in which they are run; the storms never end."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "faults").glob("test_*.py"))
    files.remove(STORMS)
    seeds = count(1)
    for which in range(1, rounds + 1):
        yield from ((name, name, which) for name in files)
        yield from ((f"{report.STORM}{next(seeds)}", STORMS, 1) for _ in range(STORMS_A_ROUND))
        if which == 1:
            yield report.GUARDS_UNIT, "", 1
    yield from ((f"{report.STORM}{seed}", STORMS, 1) for seed in seeds)


def run_unit(code: str, unit: str, path: str) -> list[Seen]:
    """Run one unit, with every fault at its full size."""
    if unit == report.GUARDS_UNIT:
        untouched = control()
        return [_without(code, guard, untouched) for guard in GUARDS]
    seed = unit.removeprefix(report.STORM) if unit.startswith(report.STORM) else "1"
    told = {"SIGHTLINE_FAULT_SCALE": "full", "SIGHTLINE_STORM_SEED": seed, "SIGHTLINE_STORM_SECONDS": STORM_S}
    return run(code, unit, path, **told)


def _without(code: str, guard: Guard, untouched: Collection[str]) -> Seen:
    begun = time.monotonic()
    failed = noticed(guard, untouched)
    tests = sorted({name.rpartition("::")[2].partition("[")[0] for name in failed})
    by, seconds = ", ".join(f"`{name}`" for name in tests), round(time.monotonic() - begun, 1)
    return Seen(code, report.GUARDS_UNIT, guard.name, "", bool(failed), seconds, message=by)


def main() -> int:
    """Run for as long as there is time; end with 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="tests.campaign", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=1, help="how often each fault is run")
    parser.add_argument("--minutes", type=float, default=60.0, help="when to stop, whatever is left to do")
    parser.add_argument("--report-only", action="store_true")
    parser.add_argument("--add", type=Path, metavar="FILE", help="a report of `pytest --junitxml`, of this very code")
    told = parser.parse_args()
    code, book, until = fingerprint(), Book(BOOK), time.monotonic() + 60 * told.minutes
    if told.add:
        book.add(seen for seen in told_by(code, told.add) if seen.unit != STORMS)
    for unit, path, which in units(told.times):
        if told.report_only or time.monotonic() > until:
            break
        if times(book.read(code), unit) < which:
            records = run_unit(code, unit, path)
            book.add(records)
            failed = sum(not record.passed for record in records)
            print(f"{datetime.now(UTC):%H:%M} {unit}: {len(records)} runs, {failed} failed", flush=True)
    seen = book.read(code)
    report.write(seen, f"{datetime.now(UTC):%d %B %Y}")
    return 1 if any(not record.passed for record in seen) else 0


if __name__ == "__main__":
    sys.exit(main())
