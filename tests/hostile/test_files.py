"""Hostile files through HTTP and the command: a typed refusal that names the file, or a right answer."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.hostile.conftest import Attacked, typed
from tests.hostile.pictures import FILES, FULL, cut
from tests.support.system import ROOT, TENANT

pytestmark = [pytest.mark.service, pytest.mark.fault]

LONGEST_S = 10.0
"""What one file may take, to be refused or to be kept; most take milliseconds."""
ENDS = {"image_unreadable", "image_too_large"}
"""With what a job may fail whose picture was taken: what only its pixels tell."""
GATEWAY_MB, WORKER_MB = 150, 250
"""How much more than before the processes may hold afterwards. A picture of 64 million pixels alone is 192 MB."""


def public() -> list[Path]:
    """The files that crashed, hung or fooled image libraries."""
    root = os.environ.get("SIGHTLINE_TEST_DATA")
    if not root:
        return []
    folder = Path(root) / "badinputs"
    return [folder / told["file"] for told in json.loads((folder / "manifest.json").read_text("utf-8"))]


needs_files = pytest.mark.skipif(not public(), reason="SIGHTLINE_TEST_DATA is unset: no public bad inputs")


def kept(attacked: Attacked, name: str, data: bytes) -> tuple[str | None, str]:
    """Upload a file; return its hash or None, and the code of its refusal."""
    begun = time.monotonic()
    answer = attacked.client.post("/v1/images", files={"image": (name, data)})
    assert time.monotonic() - begun < LONGEST_S, name
    if answer.status_code == 201:
        return str(answer.json()["sha256"]), ""
    code = typed(answer)
    assert code.startswith("image_"), (name, answer.text)
    assert name in answer.json()["detail"], "it says which file"
    return None, code


def submitted(attacked: Attacked, name: str, data: bytes) -> httpx.Response:
    """Hand in a file with its job in one request."""
    request = json.dumps({"application": "inspection"})
    return attacked.client.post("/v1/jobs", data={"request": request}, files=[("images", (name, data))])


def end(attacked: Attacked, job_id: str) -> dict[str, object]:
    """Wait for a job's end."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        job: dict[str, object] = attacked.client.get(f"/v1/jobs/{job_id}").json()
        if job["ended_at"]:
            return job
        time.sleep(0.05)
    raise AssertionError(f"job {job_id} is {job['state']}\n{attacked.one.logs()}")


def through_to_the_end(attacked: Attacked, files: dict[str, bytes]) -> dict[str, str]:
    """Send each file both ways and let the jobs of those that are taken run; return how each ended."""
    ended, jobs = {}, {}
    for name, data in files.items():
        sha256, code = kept(attacked, name, data)
        answer = submitted(attacked, name, data)
        if sha256 is None:
            assert (typed(answer), name in answer.json()["detail"]) == (code, True)
            ended[name] = code
        else:
            assert answer.status_code == 202, (name, answer.text)
            assert answer.json()["images"] == [sha256]
            jobs[name] = answer.json()["id"]
    for name, job_id in jobs.items():
        job = end(attacked, job_id)
        assert job["state"] in {"succeeded", "failed"}, (name, job)
        assert job["strikes"] == 0, (name, job)
        ended[name] = "succeeded" if job["error"] is None else str(job["error"]["code"])
        assert ended[name] in {"succeeded", *ENDS}, (name, job)
    return ended


@needs_files
def test_every_public_bad_input_is_refused_by_name_or_its_job_ends(
    attacked: Attacked, memory: Callable[[str, float], None]
) -> None:
    # given files that crashed, hung or fooled image libraries
    files = {path.name: path.read_bytes() for path in public()}
    # when each is uploaded, and handed in with a job that a worker runs
    ended = through_to_the_end(attacked, files)
    # then some are refused, some decode, and the processes hold no more than before
    assert list(ended.values()).count("succeeded") >= 30
    assert {"image_unreadable", "image_format_refused", "image_too_large"} <= set(ended.values())
    memory("serve", GATEWAY_MB)
    memory("worker", WORKER_MB)


def test_hostile_files_of_our_own_are_refused_by_name_or_their_jobs_end(
    attacked: Attacked, memory: Callable[[str, float], None]
) -> None:
    # given bombs, lies and loops in every format
    files = {name: made() for name, (made, _) in FILES.items()}
    # when each is uploaded, and handed in with a job that a worker runs
    ended = through_to_the_end(attacked, files)
    # then each is refused with its own code, or taken
    refused = {name: code for name, (_, code) in FILES.items() if code}
    assert {name: code for name, code in ended.items() if name in refused} == refused
    assert set(ended) - set(refused) == {name for name, (_, code) in FILES.items() if code is None}
    memory("serve", GATEWAY_MB)
    memory("worker", WORKER_MB)


def test_a_picture_cut_off_anywhere_is_refused_or_fails_and_is_never_half_a_picture(attacked: Attacked) -> None:
    # given a picture of each format, cut off at ten places
    files = cut()
    # when they are handed in
    ended = through_to_the_end(attacked, files)
    # then none passes, but for those that miss no pixel: a GIF's trailer, the last checksum of a PNG, padding
    passed = {name for name, code in ended.items() if code == "succeeded"}
    last = {name.partition("-")[2]: name for name in files}  # the latest cut of each format: its last byte
    assert passed <= {last[f"cut.{kind}"] for kind in ("gif", "png", "tiff", "bmp")}


@needs_files
def test_the_command_hands_in_every_bad_input_and_says_of_each_what_became_of_it(
    attacked: Attacked, tmp_path: Path
) -> None:
    # given the same files, smaller ones of our own, and some with names that a shell would rather not see
    files = public()
    for name, (made, _) in FILES.items():
        if len(data := made()) < FULL / 2:
            (tmp_path / name).write_bytes(data)
    odd = [b"\xff\xfe.png", b"a\nb.png", b"-x.png", b"\x1b[31m.png", ("x" * 250 + ".png").encode(), "画像.png".encode()]
    for name in odd:
        (tmp_path / os.fsdecode(name)).write_bytes(FILES["header-60000.png"][0]())
    files += sorted(tmp_path.iterdir())
    # when they are handed in with one command
    environment = {
        **os.environ,
        "SIGHTLINE_URL": attacked.url,
        "SIGHTLINE_KEY": attacked.key.removeprefix("Bearer "),
        "SIGHTLINE_DATA": str(tmp_path / "data"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "sightline", "submit", "inspection", "--wait", "--json", "--", *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=110, check=False)
    # then it says of each file whether there is a job and how that ended, or why there is none
    assert done.returncode == 1, done.stderr[-2000:]
    assert b"Traceback" not in done.stderr
    told = json.loads(done.stdout)
    assert len(told) == len(files)
    for each in told:
        if each["job"] is None:
            assert each["error"]["code"].startswith("image_"), each
        else:
            assert each["job"]["tenant"] == TENANT
            assert each["job"]["state"] in {"succeeded", "failed"}, each
