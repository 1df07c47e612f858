"""schemathesis against the OpenAPI document and the real gateway: what the document says is what is there.

Stateless, all endpoints but the feed, which does not end (`test_requests.py` has its parameters). Each with what the
document shows, with its edges, and with made-up requests, good and bad; the same ones at each run. Not asked for is
that good data is taken: which parameters an application takes is no part of the document.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.hostile.conftest import Attacked
from tests.support.drill import QUICK
from tests.support.system import ROOT, picture

pytestmark = [pytest.mark.service, pytest.mark.fault]

CONFIG = """
headers = {{ Authorization = "{key}" }}
[parameters]
job_id = "{job}"
sha256 = "{sha256}"
[[operations]]
# Lines that are wrong have their refusals in the answer, which is a 200.
include-path = "/v1/jobs:batch"
checks.negative_data_rejection.enabled = false
"""
EXAMPLES = 30
"""Made-up requests an endpoint."""


@pytest.mark.timeout(180)
def test_schemathesis_finds_nothing(attacked: Attacked, tmp_path: Path) -> None:
    # given a picture and a job that requests can name
    sha256 = attacked.client.post("/v1/images", content=picture(QUICK)).json()["sha256"]
    request = {"application": "inspection", "images": [sha256]}
    job = attacked.client.post("/v1/jobs", json=request, params={"wait": 20}).json()["id"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(key=attacked.key, job=job, sha256=sha256))
    # when schemathesis tries the whole document
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    command += [f"{attacked.url}/openapi.json", "--phases", "examples,coverage,fuzzing"]
    command += ["--exclude-path", "/v1/events", "--exclude-checks", "positive_data_acceptance"]
    command += ["--max-examples", str(EXAMPLES), "--generation-deterministic", "--request-timeout", "20", "--no-color"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.hostile.openapi_hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, timeout=150, check=False, text=True
    )
    # then it finds nothing
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"


def test_the_document_names_every_refusal_that_a_body_can_meet(attacked: Attacked) -> None:
    document = httpx.get(f"{attacked.url}/openapi.json").json()
    for path in ("/v1/jobs", "/v1/jobs:batch", "/v1/images"):
        answers = document["paths"][path]["post"]["responses"]
        assert {"401", "403", "408", "413", "422", "503", "507"} <= set(answers), (path, json.dumps(answers)[:300])
