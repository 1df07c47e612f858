"""The gateway as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.service


@pytest.fixture
def serving(sqlite_url: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """A process `sightline serve` that answers, its URL and its log."""
    data, log = tmp_path / "data", tmp_path / "serve.log"
    port = _free_port()
    environment = {**os.environ, "SIGHTLINE_DATABASE_URL": sqlite_url, "SIGHTLINE_DATA": str(data)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "sightline", "serve", "--port", str(port)], env=environment, stderr=out, stdout=out
        )
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 30
    while not _answers(url) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    yield process, url, log
    if process.poll() is None:
        process.kill()
    process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_process_is_found_by_its_title_and_its_pid_file_and_leaves_none(
    serving: tuple[subprocess.Popen[bytes], str, Path], tmp_path: Path
) -> None:
    # given a gateway that serves
    process, url, log = serving
    assert process.poll() is None, log.read_text()
    pid_file = tmp_path / "data" / "run" / "serve-0.pid"
    # when it is looked for
    title = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    # then it is there under its name
    assert title.startswith(b"sightline serve 127.0.0.1:")
    assert int(pid_file.read_text()) == process.pid
    assert httpx.get(f"{url}/readyz").json()["database"] == "ok"
    # and when it is told to end, it ends well, within its time, and is not to be found any more
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert not pid_file.exists()


def test_every_line_of_its_log_is_json_with_an_event(serving: tuple[subprocess.Popen[bytes], str, Path]) -> None:
    import json

    process, url, log = serving
    # given a request that it refuses
    httpx.get(f"{url}/v1/jobs")
    process.send_signal(signal.SIGTERM)
    process.wait(15)
    # when its log is read
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    # then each line says what it is about
    assert lines
    assert all(line["event"] and line["level"] and line["time"] for line in lines)


def test_the_gateway_runs_without_the_workers_libraries(tmp_path: Path) -> None:
    # given an interpreter that refuses what only workers need
    code = f"""
import sys
for name in ("torch", "transformers", "ultralytics", "onnxruntime", "cv2", "numpy", "celery", "kombu", "rapidocr"):
    sys.modules[name] = None
from gateway.api.app import create_app
from gateway.cli import mount
from storage.settings import Settings
import typer
mount(typer.Typer())
create_app(Settings(data={str(tmp_path)!r}))
"""
    # when the gateway is made in it
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, cwd=Path.cwd())
    # then it does not miss them
    assert done.returncode == 0, done.stderr.decode()
