"""The gateway's composition root: makes what the endpoints work with, and puts the routers together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry

from gateway.api import (
    audit,
    banks,
    batch,
    configurations,
    events,
    examples,
    health,
    images,
    jobs,
    metrics,
    problems,
    reports,
    reviews,
    statements,
)
from gateway.api.key_cache import KeyCache
from gateway.api.limits import BodyLimit
from gateway.api.resources import Resources
from gateway.api.timings import Timings
from storage.image_store import ImageStore
from storage.session import connect
from storage.settings import Settings

DESCRIPTION = """Asynchronous vision jobs: hand in pictures with a question, read the answer when it is there.

Every call needs an API key (`Authorization: Bearer sl_...`), apart from `/healthz`, `/readyz` and `/metrics`, which are
for the network of whoever operates the gateway. Errors are problem documents (RFC 9457); decide by their `code`.
"""


def create_app(settings: Settings) -> FastAPI:
    """Return the gateway's application on an installation's settings. Opens no connection yet."""
    engine = connect(settings.database_url, pool_size=20, answer_s=settings.database_answer_s)
    served = Resources(settings, engine, ImageStore(settings.images_url), KeyCache())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        engine.dispose()

    app = FastAPI(title="Sightline", version="1", description=DESCRIPTION, lifespan=lifespan)
    app.state.resources = served
    app.state.timings = CollectorRegistry()
    for module in (
        batch,
        jobs,
        statements,
        images,
        events,
        reviews,
        reports,
        configurations,
        banks,
        audit,
        health,
        metrics,
    ):
        app.include_router(module.router)
    problems.install(app)
    app.add_middleware(BodyLimit, most=settings.max_request_bytes)
    app.add_middleware(Timings, registry=app.state.timings)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        examples.add_schemas(app.openapi_schema)
    return app.openapi_schema
