"""Take each guard out of a copy of the tree and see its tests fail: `python -m tests.guards [WORD ...]`.

With words, only the guards whose name holds one of them. Ends with 1 when a guard could be removed unnoticed.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.guards.catalogue import GUARDS, Guard

ROOT = Path(__file__).parents[2]
FAILED = 1
"""pytest's exit code where tests ran and some failed"""


@contextmanager
def copy() -> Iterator[Path]:
    """Yield a copy of what git knows or could know of the tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, Path(folder) / name)
        yield Path(folder)


def failing(folder: Path, *told: str) -> set[str]:
    """Run tests in a copy; return the ids of those that failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *told]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode not in {0, FAILED}:
        print(ran.stdout[-2000:], ran.stderr[-2000:])
    lines = [line.split(" ") for line in ran.stdout.splitlines()]
    # A line of the captured log may begin with ERROR too.
    return {line[1] for line in lines if line[0] in {"FAILED", "ERROR"} and len(line) > 1 and "::" in line[1]}


def control() -> set[str]:
    """Return the guards' tests that fail in a copy with every guard in its place: they tell nothing of a guard."""
    with copy() as folder:
        return failing(folder, "-m", "guard")


def noticed(guard: Guard, untouched: Collection[str]) -> list[str]:
    """Return the tests that fail without the guard and are not among those that fail untouched."""
    with copy() as folder:
        edited = folder / guard.file
        edited.write_text(edited.read_text().replace(guard.code, guard.without))
        return sorted(failing(folder, "--guard", guard.name) - set(untouched))


def main(words: list[str]) -> int:
    """Try the guards; print a line each."""
    untouched, unnoticed = control(), 0
    if untouched:
        print(f"fail with every guard in its place: {', '.join(sorted(untouched))}", flush=True)
    for guard in GUARDS:
        if words and not any(word in guard.name for word in words):
            continue
        failed = noticed(guard, untouched)
        unnoticed += not failed
        seen = "noticed" if failed else "UNNOTICED"
        print(f"{seen:9}  {guard.name}: {', '.join(failed) or 'no test failed'}", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
