"""The tables of docs/reliability.md, made from what the campaign has seen."""

import ast
import os
import platform
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from tests.campaign.seen import ROOT, Seen
from tests.guards.catalogue import GUARDS

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- made by `make faults`: begin -->\n", "<!-- made by `make faults`: end -->\n"
GUARDS_UNIT = "guards"
STORM = "storm "


def write(records: list[Seen], when: str) -> None:
    """Put the tables of these records into the page, in place of those that are there."""
    page = PAGE.read_text()
    before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    PAGE.write_text(before + "\n" + "\n".join(_lines(records, when)) + "\n" + after)


def _lines(records: list[Seen], when: str) -> Iterable[str]:
    tests = [record for record in records if record.unit != GUARDS_UNIT]
    failed = [record for record in tests if not record.passed]
    yield f"{when}, on {_machine()}."
    yield ""
    hours = sum(record.seconds for record in tests) / 3600
    yield f"**{len(tests)} runs of {len(_by_test(tests))} faults, {hours:.1f} hours; {len(failed)} failed.**"
    for unit in sorted({record.unit for record in tests if not record.unit.startswith(STORM)}):
        yield from _table(_title(unit), [record for record in tests if record.unit == unit])
    yield from _storms([record for record in tests if record.unit.startswith(STORM)])
    yield from _failures(failed)
    yield from _guards([record for record in records if record.unit == GUARDS_UNIT])


def _table(title: str, records: list[Seen]) -> Iterable[str]:
    yield from ("", f"### {title}", "", "| what | on | runs | failed | until all was worked off: median, longest |")
    yield "|---|---|---|---|---|"
    for test, runs in _by_test(records).items():
        on = ", ".join(sorted({run.on for run in runs if run.on}))
        failed = sum(not run.passed for run in runs)
        yield f"| {_sentence(test)} | {on} | {len(runs)} | {failed} | {_spread(runs)} |"


def _storms(records: list[Seen]) -> Iterable[str]:
    if not records:
        return
    seeds = sorted(int(record.unit.removeprefix(STORM)) for record in records)
    yield from ("", "### Storms: several faults at a time, in an order that a seed gives", "")
    yield "| on | storms | failed | until all was worked off: median, longest |"
    yield "|---|---|---|---|"
    for on in sorted({record.on for record in records}):
        runs = [record for record in records if record.on == on]
        yield f"| {on} | {len(runs)} | {sum(not run.passed for run in runs)} | {_spread(runs)} |"
    yield ""
    yield f"Seeds {seeds[0]} to {seeds[-1]}."


def _failures(failed: list[Seen]) -> Iterable[str]:
    if failed:
        yield from ("", "### What failed", "")
        for record in failed:
            message = re.sub(r"\s+", " ", record.message)[:200].replace("|", "/")
            yield f"- {record.unit}: {_sentence(record.test)} ({record.on}): {message}"


def _guards(records: list[Seen]) -> Iterable[str]:
    if not records:
        return
    noticed = {record.test: record for record in records}
    yield from ("", "### Each guard, taken out", "")
    yield "| guard | without it | in | noticed by |"
    yield "|---|---|---|---|"
    for guard in GUARDS:
        seen = noticed.get(guard.name)
        by = "not tried" if seen is None else seen.message if seen.passed else "**nobody**"
        yield f"| {guard.name} | {guard.prevents} | `{guard.file}` | {by} |"


def _by_test(records: list[Seen]) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = defaultdict(list)
    for record in records:
        found[record.test].append(record)
    return found


def _spread(runs: list[Seen]) -> str:
    seconds = [run.recovery_s for run in runs if run.recovery_s is not None]
    return f"{median(seconds):.1f} s, {max(seconds):.1f} s" if seconds else ""


def _sentence(test: str) -> str:
    return test.removeprefix("test_").replace("_", " ")


def _title(unit: str) -> str:
    told = ast.get_docstring(ast.parse((ROOT / unit).read_text())) or unit
    return told.splitlines()[0].rstrip(".")


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    servers = [_version("redis-server", "--version"), _version("psql", "--version"), _version("rabbitmqctl", "version")]
    known = ", ".join(filter(None, servers))
    return f"{os.cpu_count()} cores and {memory:.0f} GiB, Python {platform.python_version()}; {known}"


def _version(*command: str) -> str:
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    number = re.search(r"\d+\.\d+(\.\d+)?", told)
    names = {"redis-server": "Redis", "psql": "PostgreSQL", "rabbitmqctl": "RabbitMQ"}
    return f"{names[Path(command[0]).name]} {number[0]}" if number else ""
