"""What waits for people: look, claim, decide, appeal; thumbnails that spare the eyes, originals on demand."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from domain.access import Principal, Scope
from domain.audit import Action, Actor
from domain.errors import NotFound
from domain.images import ImageRef
from domain.reviews import CLAIM_S, MOST_CLAIM_S, Decision, ReviewState
from gateway.api.access import Reader, Reviewer
from gateway.api.jobs import NAME
from gateway.api.problems import responses
from gateway.api.resources import Resources, Served
from gateway.drawing.thumbnail import thumbnail
from storage import audit, jobs, reviews
from storage.images import owned, restricted
from storage.reviews import QueueView, ReviewView, actor, discreet

router = APIRouter(prefix="/v1", tags=["reviews"])

Named = Annotated[str | None, Query(max_length=64, pattern=NAME)]


class ReviewPage(BaseModel):
    """Items, newest first, and where the next page begins."""

    reviews: list[ReviewView]
    next: UUID | None = Field(description="give it as `before` for the next page; null on the last")


class Asked(BaseModel):
    """What is asked for; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Claim(Asked):
    """For how long an item is to be held."""

    seconds: float = Field(default=CLAIM_S, ge=1, le=MOST_CLAIM_S)


class NextClaim(Claim):
    """Which item is wanted, and for how long it is to be held."""

    application: str | None = Field(default=None, max_length=64, pattern=NAME)
    queue: str | None = Field(default=None, max_length=64, pattern=NAME)
    reason: str | None = Field(default=None, max_length=64, pattern=NAME)


class HeldDecision(Decision):
    """A decision, and the number of the claim under which it is taken."""

    model_config = ConfigDict(extra="forbid")
    claim: int = Field(description="`claim` of the item as it was claimed", ge=0, le=2**31 - 1)


class Appeal(Asked):
    """Why what was decided is objected to."""

    note: str = Field(min_length=1, max_length=4000, pattern=NAME)


@router.get("/reviews", summary="List what waits", responses=responses(401, 403, 422, 503))
async def listing(
    served: Served,
    who: Reviewer,
    application: Named = None,
    queue: Named = None,
    reason: Named = None,
    state: Annotated[ReviewState | None, Query(description="left out: all that are not decided")] = None,
    job_id: UUID | None = None,
    before: Annotated[UUID | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=reviews.MAX_PAGE)] = 50,
) -> ReviewPage:
    """Return a page of the tenant's review items."""
    told: dict[str, Any] = {"application": application, "queue": queue, "reason": reason, "state": state}
    found = await served.read(reviews.listing, who, **told, job_id=job_id, before=before, limit=limit)
    return ReviewPage(reviews=found, next=found[-1].id if len(found) == limit else None)


@router.get("/reviews/queues", summary="See how much waits", responses=responses(401, 403, 503))
async def queues(served: Served, who: Reviewer) -> list[QueueView]:
    """Return how many items wait in each queue for each reason, and since when."""
    return await served.read(reviews.queues, who)


@router.post(
    "/reviews:next",
    summary="Claim the next item",
    responses={204: {"description": "nothing waits for you"}, **responses(401, 403, 422, 503)},
)
async def claim_next(served: Served, who: Reviewer, response: Response, wanted: NextClaim) -> ReviewView | None:
    """Hold the most urgent of the items that nobody holds, the oldest of those alike."""
    taken = await served.write(reviews.claim_next, who, **wanted.model_dump())
    if taken is None:
        response.status_code = 204
    return taken


@router.get("/reviews/{review_id}", summary="Look at an item", responses=responses(401, 403, 404, 422, 503))
async def show(served: Served, who: Reviewer, review_id: UUID) -> ReviewView:
    """Return an item with its decisions."""
    found = await served.read(reviews.get, who, review_id)
    if found.restricted:
        await served.write(audit.record, discreet(who), Action.RESTRICTED_SEEN, f"review {review_id}")
    return found


@router.post("/reviews/{review_id}/claim", summary="Claim an item", responses=responses(401, 403, 404, 409, 422, 503))
async def claim(served: Served, who: Reviewer, review_id: UUID, wanted: Claim) -> ReviewView:
    """Hold an item for a time; nobody else can decide it meanwhile."""
    return await served.write(reviews.claim, who, review_id, wanted.seconds)


@router.post(
    "/reviews/{review_id}/release", summary="Give an item back", responses=responses(401, 403, 404, 409, 422, 503)
)
async def release(served: Served, who: Reviewer, review_id: UUID) -> ReviewView:
    """Give back an item that is held, undecided."""
    return await served.write(reviews.release, who, review_id)


@router.post("/reviews/{review_id}/decide", summary="Decide an item", responses=responses(401, 403, 404, 409, 422, 503))
async def decide(served: Served, who: Reviewer, review_id: UUID, taken: HeldDecision) -> ReviewView:
    """Approve, correct, reject or escalate an item that is held; uphold or overturn an appeal."""
    decision = Decision.model_validate(taken.model_dump(exclude={"claim"}))
    return await served.write(reviews.settle, who, review_id, taken.claim, decision)


@router.post(
    "/jobs/{job_id}/appeal",
    status_code=201,
    summary="Object to a decision",
    responses=responses(401, 403, 404, 409, 422, 503),
)
async def appeal(served: Served, who: Reader, job_id: UUID, why: Appeal) -> ReviewView:
    """Ask for another look, by somebody who has not decided of the job before."""
    return await served.write(reviews.appeal, who, job_id, why.note)


@router.get(
    "/reviews/{review_id}/thumbnail.png",
    summary="See an item, blurred",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **responses(401, 403, 404, 422, 503)},
)
async def thumbnail_png(
    served: Served, who: Reviewer, review_id: UUID, image: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """Return one of the job's pictures small, grey and blurred."""
    ref, whom = await _picture(served, who, review_id, image)
    if whom.tenant is None:
        await served.write(audit.record, whom, Action.RESTRICTED_SEEN, f"review {review_id}")
    png = await served.call(lambda: thumbnail(served.store.get(ref.sha256)))
    return Response(png, media_type="image/png", headers={"X-Content-Type-Options": "nosniff"})


@router.get(
    "/reviews/{review_id}/original",
    summary="See an item as it is",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, **responses(401, 403, 404, 422, 503)},
)
async def original(served: Served, who: Reviewer, review_id: UUID, image: Annotated[int, Query(ge=0)] = 0) -> Response:
    """Return one of the job's pictures as it was sent; that it was looked at is kept in the audit log."""
    ref, whom = await _picture(served, who, review_id, image)
    data = await served.call(partial(served.store.get, ref.sha256))
    await served.write(audit.record, whom, Action.ORIGINAL_SEEN, f"review {review_id}", image=ref.sha256)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return Response(data, media_type=ref.media_type, headers={**headers, "Cache-Control": "no-store"})


async def _picture(served: Resources, who: Principal, review_id: UUID, image: int) -> tuple[ImageRef, Actor]:
    """Return which of the tenant's images one of an item's pictures is, and how the audit log names who looks at it.

    Raises NotFound, also for a sealed original, and Forbidden.
    """
    item = await served.read(reviews.get, who, review_id)
    job = await served.read(jobs.get, who.tenant, item.job_id)
    if image >= len(job.images):
        raise NotFound(f"job {job.id} has {len(job.images)} image(s), counted from 0; there is no image {image}")
    closed = item.restricted or await served.read(restricted, who.tenant, job.images[image])
    if closed:
        who.require(Scope.RESTRICTED)
    return await served.read(owned, who.tenant, job.images[image]), discreet(who) if closed else actor(who)
