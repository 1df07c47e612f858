"""Who calls: `Authorization: Bearer` with an API key, and the scope that an endpoint asks for."""

from typing import Annotated, Any

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from domain.access import Principal, Scope
from domain.errors import Unauthenticated
from gateway.api.resources import Served
from storage import keys

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
    return known


def _needs(scope: Scope) -> Any:  # noqa: ANN401  (FastAPI's marker has no public type)
    async def check(principal: Annotated[Principal, Depends(caller)]) -> Principal:
        principal.require(scope)
        return principal

    return Depends(check)


Submitter = Annotated[Principal, _needs(Scope.SUBMIT)]
Reader = Annotated[Principal, _needs(Scope.READ)]
