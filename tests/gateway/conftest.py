"""The real gateway on each database, a tenant with a key, and pictures to send."""

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from domain.access import Scope
from gateway.api.app import create_app
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
