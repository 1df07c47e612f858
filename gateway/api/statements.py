"""The statement of reasons for what was decided of a job."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from domain.statements import Asked, Country, Puid, Source
from gateway.api.access import Reader
from gateway.api.problems import responses
from gateway.api.resources import Served
from storage import statements

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/statement", summary="State the reasons of a decision", responses=responses(401, 403, 404, 409, 422, 503)
)
async def statement(
    served: Served,
    who: Reader,
    job_id: UUID,
    puid: Annotated[Puid, Query(description="your own unique id for the statement")],
    applied_on: Annotated[date, Query(description="the day from which the restriction holds")],
    source: Annotated[Source, Query(description="how you came to look at it")] = "SOURCE_VOLUNTARY",
    territory: Annotated[
        list[Country] | None, Query(description="where it holds, ISO 3166-1; as often as there are", max_length=50)
    ] = None,
) -> dict[str, Any]:
    """Return what the EU's DSA transparency database takes, of the newest version of the result. Nothing is sent."""
    territories = tuple(territory) if territory else None
    asked = Asked(puid=puid, applied_on=applied_on, source=source, territories=territories)
    told = await served.read(statements.state, who, job_id, asked)
    return told.model_dump(mode="json", exclude_none=True)
