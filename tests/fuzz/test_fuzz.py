"""The fuzz targets, for a minute each, at the same time. `SIGHTLINE_FUZZ_SECONDS` says otherwise; 0 is not at all.

What they find is printed as hex; it becomes a test beside those of the code that it broke, and is mended.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system import ROOT

pytestmark = [pytest.mark.service, pytest.mark.slow]

SECONDS = int(os.environ.get("SIGHTLINE_FUZZ_SECONDS", "60"))
TARGETS = ("image_header", "messages")
GRACE_S = 60


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python or system"
)
@pytest.mark.skipif(not SECONDS, reason="SIGHTLINE_FUZZ_SECONDS=0")
@pytest.mark.timeout(SECONDS + 2 * GRACE_S)
def test_no_bytes_crash_hang_or_outgrow_what_looks_at_them_first(tmp_path: Path) -> None:
    # given both targets, each with its seeds
    started = {}
    for target in TARGETS:
        command = [sys.executable, "-m", f"tests.fuzz.{target}", str(SECONDS), str(tmp_path / target / "corpus")]
        (tmp_path / target).mkdir()
        with (tmp_path / target / "out").open("wb") as out:
            started[target] = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        # when they are fuzzed
        ended = {target: process.wait(SECONDS + GRACE_S) for target, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
            process.wait(10)
    # then nothing was found, and something was tried
    for target, status in ended.items():
        told = (tmp_path / target / "out").read_text("utf-8", "replace")
        hexes = [path.read_bytes().hex() for path in (tmp_path / target).glob("found-*")]
        assert (status, hexes) == (0, []), f"{target}:\n{told[-6000:]}"
        tried = re.search(r"number_of_executed_units: (\d+)", told)
        assert tried, told[-2000:]
        assert int(tried[1]) > 20 * SECONDS, f"{target} tried {tried[1]} inputs only"
