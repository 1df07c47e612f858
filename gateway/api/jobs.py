"""Jobs: hand in, look, list, cancel, replay, read the result and the picture of it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field

from domain.access import Principal, Scope
from domain.applications import application
from domain.audit import Action
from domain.jobs import JobState, Lane
from domain.requests import Key
from gateway.api.access import Reader, Submitter
from gateway.api.examples import JOB, submission_body
from gateway.api.problems import responses
from gateway.api.resources import Resources, Served
from gateway.api.submissions import accept, parse_key, parse_submission
from gateway.overlays import overlay
from storage import audit, jobs
from storage.images import restricted
from storage.jobs import JobView, ResultView
from storage.results import Version
from storage.reviews import discreet

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MAX_WAIT_S = 30.0
NAME = "^[^\\x00]*$"
"""PostgreSQL refuses to look for NUL."""

_EXAMPLE = {"content": {"application/json": {"example": JOB}}}

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", description="the same key with the same request returns the same job", max_length=200
    ),
]


class JobPage(BaseModel):
    """Jobs, newest first, and where the next page begins."""

    jobs: list[JobView]
    next: UUID | None = Field(description="give it as `before` for the next page; null on the last")


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    summary="Hand in a job",
    openapi_extra={"requestBody": submission_body()},
    responses={
        200: {"model": JobView, "description": "the job ended within `wait`", **_EXAMPLE},
        202: {"description": "accepted; the job waits or runs", **_EXAMPLE},
        **responses(401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507),
    },
)
async def submit(
    http: Request,
    response: Response,
    served: Served,
    who: Submitter,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="answer when the job has ended, or after so long")
    ] = 0,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Accept a job: multipart with a JSON part `request` and files as parts `images`, or JSON naming stored images."""
    key = parse_key(idempotency_key)
    done = await accept(served, who, await parse_submission(http, served), key)
    response.headers["Location"] = f"/v1/jobs/{done.job_id}"
    if not done.created:
        response.headers["Idempotency-Replayed"] = "true"
    if wait:
        await served.waiting.wait(done.job_id, wait)
    job = await served.read(jobs.get, who.tenant, done.job_id)
    response.status_code = 200 if wait and job.state.ended else 202
    return job


@router.get("", summary="List jobs, newest first", responses=responses(401, 403, 422, 503))
async def listing(
    served: Served,
    who: Reader,
    application: Annotated[str | None, Query(max_length=64, pattern=NAME)] = None,
    state: JobState | None = None,
    lane: Lane | None = None,
    idempotency_key: Annotated[Key | None, Query()] = None,
    before: Annotated[UUID | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=jobs.MAX_PAGE)] = 50,
) -> JobPage:
    """Return a page of the tenant's jobs."""
    found = await served.read(
        jobs.latest,
        who.tenant,
        application=application,
        state=state,
        lane=lane.value if lane else None,
        idempotency_key=idempotency_key,
        before=before,
        limit=limit,
    )
    return JobPage(jobs=found, next=found[-1].id if len(found) == limit else None)


@router.get("/{job_id}", summary="Look at a job", responses={200: _EXAMPLE, **responses(401, 403, 404, 422, 503)})
async def show(served: Served, who: Reader, job_id: UUID) -> JobView:
    """Return a job of the tenant."""
    return await served.read(jobs.get, who.tenant, job_id)


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=responses(401, 403, 404, 409, 422, 503))
async def cancel(served: Served, who: Submitter, job_id: UUID) -> JobView:
    """End a waiting job, or ask a running one to stop: it is cancelled once `state` says so."""
    await _may_hand_in(served, who, job_id)
    return await served.write(jobs.cancel, who.tenant, job_id)


@router.post("/{job_id}/replay", summary="Start an ended job anew", responses=responses(401, 403, 404, 409, 422, 503))
async def replay(served: Served, who: Submitter, job_id: UUID) -> JobView:
    """Queue a failed, dead, cancelled or expired job again, with fresh attempts."""
    await _may_hand_in(served, who, job_id)
    return await served.write(jobs.replay, who.tenant, job_id)


@router.get("/{job_id}/result", summary="Read a result", responses=responses(401, 403, 404, 409, 422, 503))
async def result(served: Served, who: Reader, job_id: UUID) -> ResultView:
    """Return what a job answered, and which models answered it."""
    await _note_if_restricted(served, who, job_id)
    return await served.read(jobs.result, who.tenant, job_id, restricted=who.allows(Scope.RESTRICTED))


@router.get(
    "/{job_id}/versions", summary="Read a result and its corrections", responses=responses(401, 403, 404, 409, 422, 503)
)
async def versions(served: Served, who: Reader, job_id: UUID) -> list[Version]:
    """Return what the machine answered, version 0, and what people made of it; none is ever changed."""
    await _note_if_restricted(served, who, job_id)
    return await served.read(jobs.versions, who.tenant, job_id, restricted=who.allows(Scope.RESTRICTED))


@router.get(
    "/{job_id}/overlay.png",
    summary="See a result",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **responses(401, 403, 404, 409, 422, 503)},
)
async def overlay_png(
    served: Served, who: Reader, job_id: UUID, image: Annotated[int, Query(ge=0, description="which of the images")] = 0
) -> Response:
    """Return one of the job's images with the result drawn over it. It is drawn once and kept."""
    await _note_if_restricted(served, who, job_id, image)
    png = await overlay(served, who, job_id, image)
    return Response(png, media_type="image/png", headers={"X-Content-Type-Options": "nosniff"})


async def _note_if_restricted(served: Resources, who: Principal, job_id: UUID, image: int | None = None) -> None:
    """Have the audit log say that somebody who may looks at what is for few eyes: a result, or one of its pictures."""
    if not who.allows(Scope.RESTRICTED):
        return
    job = await served.read(jobs.get, who.tenant, job_id)
    shown = job.images[image : image + 1] if image is not None else []
    if job.restricted or any([await served.read(restricted, who.tenant, sha256) for sha256 in shown]):
        await served.write(audit.record, discreet(who), Action.RESTRICTED_SEEN, f"job {job_id}")


async def _may_hand_in(served: Resources, who: Principal, job_id: UUID) -> None:
    """Refuse a key that could not have handed in this job.

    Raises NotFound for a job that the tenant does not have, and Forbidden.
    """
    job = await served.read(jobs.get, who.tenant, job_id)
    who.require(application(job.application).scope)
