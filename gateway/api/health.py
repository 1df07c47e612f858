"""Whether the gateway lives, and whether it can serve."""

from functools import partial

from fastapi import APIRouter, Response
from pydantic import BaseModel

from domain.errors import SightlineError
from gateway.api.resources import Served
from storage import gauges
from storage.session import read

router = APIRouter(tags=["operation"])


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Readiness(BaseModel):
    """What the gateway needs, part by part: `ok`, or what is wrong."""

    ready: bool
    database: str
    images: str
    workers: int | None
    """live workers; without one jobs are accepted all the same, and wait"""


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> Alive:
    """Answer, and look at nothing else."""
    return Alive()


@router.get("/readyz", summary="Whether it can serve", responses={503: {"model": Readiness}})
async def readyz(served: Served, response: Response) -> Readiness:
    """Ask the database and the image store."""
    database = images = "ok"
    workers = None
    try:
        workers = await served.probe(partial(read, served.engine, gauges.live_workers))
    except SightlineError as error:
        database = error.message
    try:
        await served.probe(served.store.check)
    except SightlineError as error:
        images = error.message
    ready = database == images == "ok"
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, database=database, images=images, workers=workers)
