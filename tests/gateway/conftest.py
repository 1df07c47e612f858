"""The real gateway on each database, called in process or over a socket by a tenant with a key."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from domain.access import Scope
from gateway.api.app import create_app
from gateway.client import Client
from storage.settings import Settings
from tests.gateway.sending import make_key


@pytest.fixture
def gateway(settings: Settings) -> Iterator[TestClient]:
    """The gateway, without a key."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def key_for(engine: Engine) -> Callable[..., dict[str, str]]:
    """Make the headers of a caller: a tenant and scopes."""

    def headers(tenant: str, *scopes: Scope) -> dict[str, str]:
        return {"Authorization": f"Bearer {make_key(engine, tenant, *scopes)}"}

    return headers


@pytest.fixture
def client(gateway: TestClient, key_for: Callable[..., dict[str, str]]) -> TestClient:
    """The gateway, called by the tenant `acme` with the scopes submit and read."""
    gateway.headers.update(key_for("acme", Scope.SUBMIT, Scope.READ))
    return gateway


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    """The URL of the gateway on a socket of the loopback."""
    config = uvicorn.Config(
        create_app(settings), host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1, lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 10
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def caller(address: str, engine: Engine) -> Iterator[Client]:
    """The project's own client, over the socket, with a key of the tenant `acme`."""
    with Client(address, make_key(engine, "acme", Scope.SUBMIT, Scope.READ)) as client:
        yield client
