"""Who calls: `Authorization: Bearer` with an API key, and the scope that an endpoint asks for."""

import logging
from typing import Annotated, Any

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from domain.access import Principal, Scope
from domain.audit import Action
from domain.errors import Unauthenticated, Unavailable
from gateway.api.resources import Resources, Served
from storage import audit, keys
from storage.reviews import actor

log = logging.getLogger(__name__)

BEARER = HTTPBearer(auto_error=False, description="an API key, `sl_PREFIX_SECRET`: `sightline keys create` makes one")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]


async def caller(served: Served, credentials: Credentials) -> Principal:
    """Return who calls.

    Raises Unauthenticated.
    """
    if credentials is None:
        raise Unauthenticated("an API key is needed: send it as `Authorization: Bearer sl_...`")
    key = credentials.credentials
    known = served.keys.get(key)
    if known is None:
        known = await served.read(keys.authenticate, key)
        served.keys.put(key, known)
        if served.uses.due(known.key_id):
            await _note_use(served, known)
    return known


async def _note_use(served: Resources, who: Principal) -> None:
    """Write into the audit log that a key is in use.

    A database that takes no writes at the moment, as one whose disk is full, does not keep people from reading.
    """
    try:
        await served.write(audit.record, actor(who), Action.KEY_USED, f"key {who.key_id}")
    except Unavailable as error:
        served.uses.failed(who.key_id)
        log.warning("the use of a key was not noted: %s", error.message, extra={"event": "audit.missed"})


def _needs(scope: Scope, *others: Scope) -> Any:  # noqa: ANN401  (FastAPI's marker has no public type)
    async def check(principal: Annotated[Principal, Depends(caller)]) -> Principal:
        if not any(principal.allows(other) for other in others):
            principal.require(scope)
        return principal

    return Depends(check)


Submitter = Annotated[Principal, _needs(Scope.SUBMIT)]
Reader = Annotated[Principal, _needs(Scope.READ)]
Reviewer = Annotated[Principal, _needs(Scope.REVIEW)]
Clinician = Annotated[Principal, _needs(Scope.REVIEW, Scope.SIGN)]
ReportReader = Annotated[Principal, _needs(Scope.READ, Scope.REVIEW, Scope.SIGN)]
Signer = Annotated[Principal, _needs(Scope.SIGN)]
Administrator = Annotated[Principal, _needs(Scope.ADMIN)]
