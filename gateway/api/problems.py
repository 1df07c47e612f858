"""How errors look over HTTP: RFC 9457 problem documents. The one table from the domain's codes to statuses is here."""

import errno
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from domain.errors import BacklogFull, SightlineError, StorageFull, Unauthenticated, Unavailable
from domain.problems import MOST_CHARACTERS, MOST_FIELDS, field_name
from domain.texts import printable

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

MOST_DETAIL = 4_000
"""Characters of a problem's detail."""

STATUSES: Mapping[str, int] = {
    "invalid_input": 422,
    "invalid_request": 422,
    "request_too_large": 413,
    "request_too_slow": 408,
    "unknown_application": 422,
    "invalid_parameters": 422,
    "image_rejected": 422,
    "image_empty": 422,
    "image_unreadable": 422,
    "image_format_refused": 415,
    "image_too_large": 413,
    "dicom_unreadable": 422,
    "transfer_syntax_refused": 415,
    "not_found": 404,
    "conflict": 409,
    "idempotency_conflict": 409,
    "transition_refused": 409,
    "access_refused": 403,
    "unauthenticated": 401,
    "forbidden": 403,
    "backlog_full": 429,
    "unavailable": 503,
    "storage_unavailable": 503,
    "statement_given_up": 503,
    "storage_full": 507,
    "image_missing": 503,
    "image_damaged": 500,
    "original_unreadable": 500,
}
"""A code that is not here has no business at the edge and is answered as 500."""

CODES = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}
"""What the framework refuses by itself, in the domain's codes."""


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    problem: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:sightline:problem:invalid_parameters",
                "title": "A parameter that the application does not know, or a value that it cannot take",
                "status": 422,
                "detail": "signs: target: 'xx' is not a language that is known",
                "code": "invalid_parameters",
                "problems": [{"field": "target", "problem": "'xx' is not a language that is known"}],
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="stable across releases; decide by this")
    problems: list[FieldProblem] | None = Field(default=None, description="field by field, where fields are at fault")


def problem(error: SightlineError) -> Problem:
    """Turn an error of the domain into its document."""
    status = STATUSES.get(error.code, 500)
    title = (type(error).__doc__ or error.code).splitlines()[0].rstrip(".")
    return _document(status, error.code, title, error.message, error.details.get("problems"))


def answer(error: SightlineError) -> JSONResponse:
    """Turn an error of the domain into a response."""
    headers = {}
    if isinstance(error, BacklogFull):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, Unavailable):
        headers["Retry-After"] = "5"
    elif isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return _response(problem(error), headers)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI descriptions of the problems with which an endpoint may answer."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Have the application answer every error with a problem document."""
    app.add_exception_handler(SightlineError, _on_domain_error)
    app.add_exception_handler(OSError, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ClientDisconnect, _on_leaving)
    app.add_exception_handler(Exception, _on_unknown_error)


async def _on_domain_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SightlineError)
    if STATUSES.get(error.code, 500) >= 500:
        log.warning(error.message, extra={"event": "http.problem", "code": error.code, "path": request.url.path})
    return answer(error)


async def _on_refusal(request: Request, error: Exception) -> JSONResponse:
    # A large upload is put down in the folder for temporary files while it comes in, whose disk may be full too.
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        full = StorageFull("the gateway's disk for temporary files is full; free space (or set TMPDIR) and try again")
        return await _on_domain_error(request, full)
    return await _on_unknown_error(request, error)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "invalid_request" if error.status_code < 500 else "error")
    status = STATUSES.get(code, error.status_code)  # one code, one status: a malformed form is 400 in the framework
    document = _document(
        status, code, HTTPStatus(status).phrase, f"{request.method} {request.url.path}: {error.detail}"
    )
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return _response(document, headers)


def _methods(request: Request) -> set[str]:
    """Return the methods of a path. The framework names those of its first route alone, and has a route per method."""
    asked = [(method, {**request.scope, "method": method}) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")]
    return {method for method, scope in asked for route in request.app.routes if route.matches(scope)[0] is Match.FULL}


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [
        {"field": printable(field_name(told["loc"][1:]), MOST_CHARACTERS), "problem": told["msg"]}
        for told in error.errors()[:MOST_FIELDS]
    ]
    said = "; ".join(f"{told['field']}: {told['problem']}" for told in problems)
    return _response(
        _document(422, "invalid_request", "A field of the request is missing or malformed", said, problems), {}
    )


async def _on_leaving(request: Request, _error: Exception) -> JSONResponse:
    # Nobody reads this answer. Without it each caller that hangs up in mid-upload would be logged as a crash of ours.
    log.info("a caller left in mid-request", extra={"event": "http.left", "path": request.url.path})
    return _response(_document(400, "invalid_request", "The request broke off", "the body did not come whole"), {})


async def _on_unknown_error(request: Request, error: Exception) -> JSONResponse:
    # Nothing of the exception leaves the house: it may hold paths, SQL or what a tenant sent.
    log.error("request crashed", exc_info=error, extra={"event": "http.crashed", "path": request.url.path})
    said = "an error of the gateway itself; it has been logged"
    return _response(_document(500, "error", "Internal error", said), {})


def _document(status: int, code: str, title: str, detail: str, problems: Any = None) -> Problem:  # noqa: ANN401
    return Problem(
        type=f"urn:sightline:problem:{code}",
        title=title,
        status=status,
        detail=printable(detail, MOST_DETAIL),  # it may quote what was sent: a file's name, a path, a method
        code=code,
        problems=problems,
    )


def _response(document: Problem, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(
        document.model_dump(exclude_none=True), status_code=document.status, headers=headers, media_type=MEDIA_TYPE
    )
