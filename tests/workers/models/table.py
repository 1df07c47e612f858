"""Write docs/models.md: `python -m tests.workers.models.table` loads every architecture, and lists those that ran."""

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.support.system import ROOT

PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- made by a command: begin -->\n", "<!-- made by a command: end -->\n"
HOLDS = "test_it_is_loaded_as_what_it_is"


def rows() -> list[tuple[str, str, str, str, int]]:
    """Run every row; return (family, architecture, capabilities, class, tests) of those without a failure."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        told = ["-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}", "-n", "2"]
        subprocess.run(
            [sys.executable, "-m", "pytest", *told, "--dist", "loadfile", "tests/workers/models"], cwd=ROOT, check=False
        )
        cases = list(ET.parse(report).iter("testcase"))
    ran: dict[str, list[bool]] = {}
    named: dict[str, tuple[str, str, str, str]] = {}
    for case in cases:
        row = case.get("classname", "")
        ran.setdefault(row, []).append(case.find("failure") is None and case.find("error") is None)
        for it in case.iter("property"):
            if it.get("name") == "architecture":
                architecture, family, capabilities, loaded = json.loads(it.get("value", ""))
                named[row] = (family, architecture, " ".join(capabilities), loaded)
    return sorted((*named[row], len(ran[row])) for row in named if all(ran[row]))


def main() -> int:
    """Write the table; end with 1 where a row of the tests is not in it."""
    found = rows()
    lines = [
        f"{len(found)} architectures, with transformers {version('transformers')} and torch {version('torch')}:",
        "",
        "| family | architecture | capabilities | loaded as | tests |",
        "|---|---|---|---|---|",
        *(f"| `{family}` | {name} | {can} | `{loaded}` | {tests} |" for family, name, can, loaded, tests in found),
    ]
    page = PAGE.read_text()
    before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    PAGE.write_text(before + "\n" + "\n".join(lines) + "\n\n" + after)
    written = {
        name
        for file in (ROOT / "tests/workers/models").glob("test_*.py")
        for name in re.findall(r'^    architecture = "(.+)"$', file.read_text(), re.MULTILINE)
    }
    missing = sorted(written - {name for _, name, *_ in found})
    if missing:
        print(f"not in the table, because a test of theirs failed: {', '.join(missing)}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
