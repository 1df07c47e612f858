"""With the network cut, everything works, and nobody so much as tries to reach anything outside."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines import Machine, another_machine
from tests.support.system import ROOT
from tests.workers.models.test_dual_encoder import TestClip as Clip
from workers.hub import digest
from workers.registry import PROFILES
from workers.supervisor import free_port

pytestmark = [pytest.mark.service, pytest.mark.model]

AUDIT = Path(__file__).parents[1] / "support" / "under_audit"
LOOPBACK = re.compile(r"('127\.0\.0\.1'|'localhost'|b'localhost'|'::1'|'/|b'/|'\\x00|b'\\x00)")
TOY = """
[[models]]
name = "toy"
family = "dual_encoder"
capabilities = ["classify"]
source = "{folder}"
revision = "{revision}"
licence = "none"
options = {{ threads = 1 }}
"""


@dataclass(frozen=True)
class CutOff:
    """An installation on a machine without a network."""

    machine: Machine
    environment: dict[str, str]
    data: Path
    asked: Path

    def run(self, *told: object) -> Any:
        """Run a command of Sightline's there; return what it prints as JSON."""
        ran = subprocess.run(
            [
                *self.machine.before,
                sys.executable,
                "-m",
                "sightline",
                *map(str, told),
                "--json",
                "--data",
                str(self.data),
            ],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout)


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[CutOff]:
    """`sightline up` with the embedded models and a toy, in a network namespace with nothing but loopback."""
    Clip().build(tmp_path / "toy")
    profile = tmp_path / "models.toml"
    toy = TOY.format(folder=tmp_path / "toy", revision=digest(tmp_path / "toy"))
    profile.write_text((PROFILES / "embedded.toml").read_text() + toy)
    with another_machine() as machine:
        machine.unplug()
        port = free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SIGHTLINE_"))},
            "SIGHTLINE_MODELS": str(profile),
            "SIGHTLINE_TEST_AUDIT": str(tmp_path / "asked"),
            "SIGHTLINE_URL": f"http://127.0.0.1:{port}",
            "PYTHONPATH": f"{AUDIT}:{ROOT}",
        }
        command = [*machine.before, sys.executable, "-m", "sightline", "up", "--stand-in", "--port", str(port)]
        up = subprocess.Popen(
            [*command, "--data", str(tmp_path / "data")], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert up.stdout is not None
            assert up.stdout.readline().startswith("ready "), "it came up"
            yield CutOff(machine, environment, tmp_path / "data", tmp_path / "asked")
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)
            up.stdout.close()


@pytest.mark.timeout(180)
def test_with_the_network_cut_jobs_run_and_nobody_tries_to_connect(cut_off: CutOff) -> None:
    picture = next((ROOT / "domain/applications/vision/samples").glob("find*.jpg"))
    # when models of three families answer: a packaged one, a shipped one, and a checkpoint of transformers
    for asked in ("detect", "read", "classify"):
        more = ("--param", "labels=a cat,a dog", "--param", "model=toy") if asked == "classify" else ()
        sent = cut_off.run("submit", "vision", picture, "--param", f"capability={asked}", *more, "--wait")
        assert [one["job"]["state"] for one in sent] == ["succeeded"], sent
    # then every address that any process asked for is on this machine
    lines = cut_off.asked.read_text().splitlines()
    assert any("worker" in line for line in lines), "the worker was watched"
    assert [line for line in lines if not LOOPBACK.search(line)] == []
