"""One installation under attack: gateway, dispatcher, intake and a worker with the drill models, which all tests share.

They share it on purpose: what one attack leaves behind is there for the next one. Each test ends with the check that
nothing was started again, nothing failed with 5xx, and a good job succeeds.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import func, select

from domain.access import Scope
from storage import keys, tenants
from storage.session import read, write
from storage.tables import workers
from tests.conftest import POSTGRESQL
from tests.support.brokers import local_redis
from tests.support.drill import QUICK
from tests.support.system import TENANT, System, picture, system
from tests.support.waiting import eventually

ROLES = ("serve", "dispatch", "worker", "intake")


@dataclass
class Attacked:
    """The installation, and how it was before."""

    one: System
    client: httpx.Client
    pids: dict[str, int]
    shade: int = 0

    @property
    def port(self) -> int:
        """Where the gateway listens."""
        return int(self.client.base_url.port or 0)

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """The tenant's key, as a header's value."""
        return self.client.headers["Authorization"]

    def rss_mb(self, role: str) -> float:
        """What a process holds in memory."""
        return int(Path(f"/proc/{self.pids[role]}/statm").read_text().split()[1]) * 4096 / 1e6

    def good_job(self) -> None:
        """Hand in a good picture, never the same, and see its job succeed."""
        self.shade += 1
        data = picture(QUICK, self.shade)
        sha256 = self.client.post("/v1/images", content=data).raise_for_status().json()["sha256"]
        request = {"application": "inspection", "images": [sha256]}
        answer = self.client.post("/v1/jobs", json=request, params={"wait": 20})
        assert (answer.status_code, answer.json().get("state")) == (200, "succeeded"), answer.text

    def unharmed(self) -> None:
        """Check that the same processes serve, that nothing crashed, and that a good job succeeds."""
        for process in self.one.processes:
            assert process.poll() is None, f"{process.args} ended\n{self.one.logs()}"
        assert read(self.one.engine, lambda c: c.execute(select(func.count()).select_from(workers)).scalar()) == 1
        for log in self.one.settings.data.glob("serve-*.log"):
            crashed = [line for line in log.read_text().splitlines() if '"http.crashed"' in line or "Traceback" in line]
            assert not crashed, f"{log.name}: {crashed[0][:2000]}"
        self.good_job()


@pytest.fixture(scope="session")
def installation(postgresql_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """Start it, and warm it up."""
    folder = tmp_path_factory.mktemp("hostile")
    name = f"sightline_test_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    url = POSTGRESQL.rsplit("/", 1)[0] + f"/{name}"
    try:
        with local_redis(folder) as there, system(url, there.url, folder, there.prefix) as one, one.gateway() as client:
            write(one.engine, tenants.configure, TENANT, intake_enabled=True)
            for role in ROLES[1:]:
                one.start(role, SIGHTLINE_MODELS=str(Path(__file__).parent / "calm.toml"))
            attacked = Attacked(one, client, {str(process.args[3]): process.pid for process in one.processes})
            for _ in range(20):
                attacked.good_job()
            yield attacked
    finally:
        with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def attacked(installation: Attacked) -> Iterator[Attacked]:
    """The installation; unharmed after the test."""
    yield installation
    installation.unharmed()


@pytest.fixture
def memory(attacked: Attacked) -> Callable[[str, float], None]:
    """Check that a process's memory is back to where it was, within so many MB; measured before the test began."""
    before = {role: attacked.rss_mb(role) for role in ROLES}

    def back(role: str, more_mb: float) -> bool:
        # Small jobs meanwhile: what is garbage in cycles (Pillow's images are) goes when the next things are made.
        attacked.good_job()
        return attacked.rss_mb(role) <= before[role] + more_mb

    def check(role: str, more_mb: float) -> None:
        eventually(lambda: back(role, more_mb), 30, f"{role} is back at {before[role]:.0f} + {more_mb:.0f} MB")

    return check


@pytest.fixture
def reader_only(attacked: Attacked) -> dict[str, str]:
    """The headers of a caller who may read and nothing else."""
    return {"Authorization": f"Bearer {write(attacked.one.engine, keys.create, TENANT, 'reader', [Scope.READ]).key}"}


@pytest.fixture
def stranger(attacked: Attacked) -> dict[str, str]:
    """The headers of another tenant."""
    write(attacked.one.engine, tenants.ensure, "stranger")
    return {"Authorization": f"Bearer {write(attacked.one.engine, keys.create, 'stranger', 'key', Scope).key}"}


def typed(answer: httpx.Response) -> str:
    """Check that an answer is a refusal with the domain's code, in words of bounded length; return the code."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["detail"]
    assert len(answer.content) < 40_000, "an answer is not to grow with what it refuses"
    return str(told["code"])


def answers_meanwhile(attacked: Attacked) -> float:
    """Ask for something that needs the database; return how long it took."""
    begun = time.monotonic()
    assert httpx.get(f"{attacked.url}/v1/jobs?limit=1", headers=attacked.client.headers).status_code == 200
    return time.monotonic() - begun
