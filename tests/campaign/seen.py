"""What the campaign has seen: a JSON line a test, appended as soon as its file has ended: it can go on after a stop.

Records of other code do not count: a change of any Python or TOML file begins a campaign of its own.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Seen:
    """One run of one test. `unit` is what was run together: a file of tests, a storm's seed, the guards."""

    code: str
    unit: str
    test: str
    on: str
    """the databases and brokers, or whatever else the test was parametrised with"""
    passed: bool
    seconds: float
    recovery_s: float | None = None
    message: str = ""


def fingerprint() -> str:
    """Return a hash over every Python and TOML file of the tree."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.py", "*.toml"], cwd=ROOT, capture_output=True, check=True)
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.stdout.decode().split("\0"))):
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()[:12]


class Book:
    """The records, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def read(self, code: str) -> list[Seen]:
        """Return what was seen of this code."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [seen for seen in (Seen(**json.loads(line)) for line in lines) if seen.code == code]

    def add(self, records: Iterable[Seen]) -> None:
        """Append records."""
        with self._path.open("a") as file:
            file.writelines(json.dumps(asdict(record)) + "\n" for record in records)


def times(records: Iterable[Seen], unit: str) -> int:
    """Return how often a unit was run: as often as its most frequent test."""
    runs: dict[tuple[str, str], int] = {}
    for record in records:
        if record.unit == unit:
            runs[record.test, record.on] = runs.get((record.test, record.on), 0) + 1
    return max(runs.values(), default=0)
