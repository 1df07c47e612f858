"""The audit log over HTTP: the tenant's own rows. The chain goes over all tenants: the command line checks it."""

from typing import Annotated

from fastapi import APIRouter, Query

from domain.audit import Action, AuditEntry
from gateway.api.access import Administrator
from gateway.api.problems import responses
from gateway.api.resources import Served
from storage import audit

router = APIRouter(prefix="/v1/audit", tags=["audit"])


@router.get("", summary="Read the audit log", responses=responses(401, 403, 422, 503))
async def listing(
    served: Served,
    who: Administrator,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="the number of the last row seen")] = 0,
    action: Action | None = None,
    limit: Annotated[int, Query(ge=1, le=audit.AT_ONCE)] = 100,
) -> list[AuditEntry]:
    """Return the tenant's rows behind a number, in order."""
    return await served.read(audit.entries, after=after, limit=limit, tenant=who.tenant, action=action)
