"""Running one unit of the campaign in a pytest of its own, and reading what it says of each test."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.campaign.seen import ROOT, Seen


def run(code: str, unit: str, path: str, **environment: str) -> list[Seen]:
    """Run a file of tests; return a record for each that was not skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        told = ["-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *told, path]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=False)
        if not report.exists():
            return [Seen(code, unit, path, "", passed=False, seconds=0.0, message="pytest itself ended")]
        return [replace(seen, unit=unit) for seen in told_by(code, report)]


def told_by(code: str, report: Path) -> Iterator[Seen]:
    """Yield a record for each fault test in pytest's report (junit_family=xunit1); the unit is the test's file."""
    for case in ET.parse(report).iter("testcase"):
        file = case.get("classname", "").replace(".", "/") + ".py"
        if case.find("skipped") is not None or not file.startswith("tests/faults/"):
            continue
        failed = next((found for kind in ("failure", "error") if (found := case.find(kind)) is not None), None)
        name, _, on = case.get("name", "").partition("[")
        told = {it.get("name"): it.get("value") for it in case.iter("property")}
        recovery = told.get("recovery_s")
        yield Seen(
            code,
            file,
            name,
            on.rstrip("]"),
            passed=failed is None,
            seconds=round(float(case.get("time", 0)), 1),
            recovery_s=None if recovery is None else float(recovery),
            message="" if failed is None else failed.get("message", "")[:300],
        )
