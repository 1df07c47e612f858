"""`sightline up`: everything on one machine, watched; and the parts that must do without torch."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from domain.jobs import JobState
from gateway.client import Client
from tests.support.drill import QUICK
from tests.support.system import DRILL, ROOT, picture
from tests.support.waiting import eventually
from workers.supervisor import free_port

pytestmark = pytest.mark.service


def environment(data: Path, **extra: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE_")}
    told = {"SIGHTLINE_DATA": str(data), "SIGHTLINE_MODELS": str(DRILL), "PYTHONPATH": str(ROOT)}
    return {**clean, **told, **extra}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Client, Path]]:
    """A running `sightline up`, a client with its admin key, and its data folder."""
    port = free_port()
    command = [sys.executable, "-m", "sightline", "up", "--port", str(port), "--stand-in"]
    with (tmp_path / "up.log").open("w") as log:
        up = subprocess.Popen(
            command, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
        )
    assert up.stdout is not None
    try:
        assert up.stdout.readline() == f"ready http://127.0.0.1:{port}\n", (tmp_path / "up.log").read_text()
        with Client(f"http://127.0.0.1:{port}", (tmp_path / "admin.key").read_text().strip()) as client:
            yield up, client, tmp_path
    finally:
        if up.poll() is None:
            up.send_signal(signal.SIGTERM)
        up.wait(60)
        up.stdout.close()


def pid(data: Path, name: str) -> int:
    return int((data / "run" / f"{name}-0.pid").read_text())


def back(data: Path, name: str, killed: int) -> bool:
    """Say whether a process of that name has taken the place of the killed one; its file may be half-written."""
    file = data / "run" / f"{name}-0.pid"
    told = file.read_text() if file.exists() else ""
    return bool(told) and int(told) != killed and alive(int(told))


def alive(number: int) -> bool:
    return Path(f"/proc/{number}").exists() and "Z" not in Path(f"/proc/{number}/stat").read_text().split()[2]


def runs_a_job(client: Client, data: Path, shade: int) -> None:
    part = data / f"part-{shade}.png"
    part.write_bytes(picture(QUICK, shade))
    job = client.submit("inspection", [part], wait_s=20)
    assert job.state is JobState.SUCCEEDED, job


def test_each_process_is_found_by_name_and_restarted_when_it_dies(
    installation: tuple[subprocess.Popen[str], Client, Path],
) -> None:
    up, client, data = installation
    names = ["broker", "dispatch", "intake", "serve", "worker"]
    runs_a_job(client, data, 0)
    for name in names:
        title = Path(f"/proc/{pid(data, name)}/cmdline").read_text().replace("\0", " ")
        assert title.startswith(f"sightline {name}"), title

    for shade, name in enumerate(("worker", "dispatch", "broker"), start=1):
        killed = pid(data, name)
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: not alive(killed), 5, "it is dead")  # noqa: B023  (called within this turn)
        eventually(lambda: back(data, name, killed), 30, f"{name} is back")  # noqa: B023
        runs_a_job(client, data, shade)

    children = [pid(data, name) for name in names]
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0
    assert not any(alive(child) for child in children)
    assert not list((data / "run").glob("*.pid")), "whoever left in order took its pid file along"


def test_the_same_submission_sent_fifty_times_at_once_is_one_job(
    installation: tuple[subprocess.Popen[str], Client, Path],
) -> None:
    _, client, data = installation
    part = data / "part.png"
    part.write_bytes(picture(QUICK))

    def send(_: int) -> UUID:
        return client.submit("inspection", [part], idempotency_key="line-3/000231").id

    with ThreadPoolExecutor(50) as pool:
        ids = set(pool.map(send, range(50)))

    assert len(ids) == 1
    (job_id,) = ids
    assert client.wait(job_id, 20).state is JobState.SUCCEEDED
    assert [job.id for job in client.jobs()] == [job_id]
    told = (event.type for event in client.events(after=0) if event.job_id == job_id)
    assert [next(told), next(told)] == ["job.queued", "job.succeeded"]


def test_the_gateway_and_the_dispatcher_run_without_torch(tmp_path: Path, sqlite_url: str) -> None:
    # given a torch, and its kin, that cannot be imported
    for heavy in ("torch", "torchvision", "transformers", "ultralytics", "onnxruntime", "rapidocr", "cv2", "numpy"):
        package = tmp_path / "broken" / heavy
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"raise ImportError('{heavy} is not installed here')\n")
    port = free_port()
    told = environment(
        tmp_path,
        SIGHTLINE_DATABASE_URL=sqlite_url,
        SIGHTLINE_BROKER_URL="redis://127.0.0.1:1/0",
        PYTHONPATH=f"{tmp_path / 'broken'}:{ROOT}",
    )

    # when both are started
    serve, dispatch = (
        subprocess.Popen([sys.executable, "-m", "sightline", *arguments], env=told, stderr=subprocess.PIPE, cwd=ROOT)
        for arguments in (["serve", "--port", str(port)], ["dispatch"])
    )

    # then both serve
    try:
        eventually(lambda: (tmp_path / "run" / "dispatch-0.ready").exists(), 20, "the dispatcher serves")
        eventually(lambda: answers(f"http://127.0.0.1:{port}/healthz"), 20, "the gateway serves")
    finally:
        for process in (serve, dispatch):
            process.terminate()
            process.communicate(timeout=20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
