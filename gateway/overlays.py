"""The picture of a result: drawn the first time somebody asks for it, and kept as an artifact of the job."""

from contextlib import suppress
from functools import partial
from uuid import UUID

from pydantic import ValidationError

from domain.access import Principal, Scope
from domain.applications import application
from domain.errors import Conflict, ImageDamaged, ImageMissing, NotFound
from gateway.api.resources import Resources
from gateway.drawing import draw
from storage import artifacts, images, jobs
from storage.image_store import ImageStore
from storage.images import keep_file
from storage.jobs import JobView, ResultView
from storage.session import Engine, read

MEDIA_TYPE = "image/png"


async def overlay(served: Resources, who: Principal, job_id: UUID, index: int) -> bytes:
    """Return a PNG of one of the job's images with its result drawn over it.

    Raises NotFound, Forbidden for a result that is for few eyes, and TransitionRefused where the job has no result.
    """
    return await served.call(partial(_overlay, served.engine, served.store, who, job_id, index))


def _overlay(engine: Engine, store: ImageStore, who: Principal, job_id: UUID, index: int) -> bytes:
    name, tenant, restricted = f"overlay-{index}.png", who.tenant, who.allows(Scope.RESTRICTED)
    job = read(engine, jobs.get, tenant, job_id)
    if job.restricted or (index < len(job.images) and read(engine, images.restricted, tenant, job.images[index])):
        who.require(Scope.RESTRICTED)
    kept = read(engine, artifacts.find, tenant, job_id, name)
    if kept is not None:
        with suppress(ImageMissing, ImageDamaged):  # it is drawn anew then
            return store.get(kept)
    result = read(engine, jobs.result, tenant, job_id, restricted=restricted)
    png = _drawn(store, job, result, index)
    keep_file(
        engine, store, png, lambda connection, sha256: artifacts.add(connection, job_id, name, sha256, MEDIA_TYPE)
    )
    return png


def _drawn(store: ImageStore, job: JobView, result: ResultView, index: int) -> bytes:
    if index >= len(job.images):
        raise NotFound(f"job {job.id} has {len(job.images)} image(s), counted from 0; there is no image {index}")
    wanted = application(job.application)
    try:
        told = wanted.result.model_validate(result.body)
    except ValidationError as error:
        raise Conflict(
            f"the result of job {job.id} was written by {job.application} {result.version}, "
            f"which {wanted.version} cannot draw"
        ) from error
    return draw(store.get(job.images[index]), wanted.marks(told, index))
