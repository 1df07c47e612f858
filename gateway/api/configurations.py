"""Configurations of applications over HTTP: policies, recipes, intended uses. Added as versions, then activated."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from domain.access import Principal, Scope
from domain.applications.application import Configured
from gateway.api.access import Administrator, Reader
from gateway.api.jobs import NAME
from gateway.api.problems import responses
from gateway.api.resources import Served
from storage import configurations, trials
from storage.configurations import Activation, ConfigurationView, Name
from storage.reviews import actor
from storage.trials import Trial

router = APIRouter(prefix="/v1/configurations", tags=["configurations"])

Part = Annotated[str, Path(max_length=64, pattern="^[a-z0-9][a-z0-9_-]*$")]
Version = Annotated[int, Path(ge=0, le=2**31 - 1)]


class NewVersion(BaseModel):
    """A version to be kept, and why."""

    model_config = ConfigDict(extra="forbid")

    body: dict[str, Any]
    because: str = Field(default="", max_length=1000, pattern=NAME)


class Why(BaseModel):
    """Why a version is to hold."""

    model_config = ConfigDict(extra="forbid")

    because: str = Field(min_length=1, max_length=1000, pattern=NAME)


@router.get("/{application}", summary="List configurations", responses=responses(401, 403, 422, 503))
async def listing(served: Served, who: Reader, application: Part) -> list[ConfigurationView]:
    """Return the versions of an application's configurations; version 0 ships with it."""
    return await served.read(configurations.listing, who.tenant, application)


@router.get(
    "/{application}/{kind}/{name}/{version}", summary="Read a version", responses=responses(401, 403, 404, 422, 503)
)
async def show(served: Served, who: Reader, application: Part, kind: Part, name: Part, version: Version) -> Configured:
    """Return a version with its content."""
    return await served.read(configurations.exactly, _name(who, application, kind, name), version)


@router.get(
    "/{application}/{kind}/{name}", summary="See which version held when", responses=responses(401, 403, 422, 503)
)
async def history(served: Served, who: Reader, application: Part, kind: Part, name: Part) -> list[Activation]:
    """Return all activations, the oldest first."""
    return await served.read(configurations.history, _name(who, application, kind, name))


@router.post(
    "/{application}/{kind}/{name}", status_code=201, summary="Add a version", responses=responses(401, 403, 422, 503)
)
async def add(
    served: Served, who: Administrator, application: Part, kind: Part, name: Part, fresh: NewVersion
) -> Configured:
    """Keep a version, which holds once it is activated; the same content again is the same version."""
    of = _name(who, application, kind, name)
    return await served.write(configurations.add, of, fresh.body, actor(who), fresh.because)


@router.post(
    "/{application}/{kind}/{name}/{version}/activate",
    summary="Activate a version",
    responses=responses(401, 403, 404, 409, 422, 503),
)
async def activate(
    served: Served, who: Administrator, application: Part, kind: Part, name: Part, version: Version, why: Why
) -> Activation:
    """Have a version hold for the jobs that run from now on."""
    of = _name(who, application, kind, name)
    return await served.write(configurations.activate, of, version, actor(who), why.because)


@router.get(
    "/{application}/{kind}/{name}/{version}/trial",
    summary="Try a version on past jobs",
    responses=responses(401, 403, 404, 422, 503),
)
async def trial(
    served: Served,
    who: Administrator,
    application: Part,
    kind: Part,
    name: Part,
    version: Version,
    last: Annotated[int, Query(ge=1, le=trials.MOST_JOBS)] = 100,
) -> Trial:
    """Say what the newest jobs would have come out as under a version, from what was kept of them."""
    of = _name(who, application, kind, name)
    return await served.read(trials.try_out, of, version, last, restricted=who.allows(Scope.RESTRICTED))


def _name(who: Principal, application: str, kind: str, name: str) -> Name:
    return Name(tenant=who.tenant, application=application, kind=kind, name=name)
