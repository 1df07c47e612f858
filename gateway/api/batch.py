"""Many jobs in one request: JSON lines in, an outcome per line out, a transaction per thousand."""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from domain.access import Principal
from domain.applications import application
from domain.errors import InvalidInput, InvalidRequest, RequestTooLarge, SightlineError
from domain.requests import JobRequest, parse_request
from gateway.api.access import Submitter
from gateway.api.examples import BATCH_ANSWER, batch_body
from gateway.api.problems import STATUSES, responses
from gateway.api.resources import Resources, Served
from gateway.api.submissions import MAX_JSON_BYTES, parse_json, parse_key
from storage import tenants
from storage.submit import Submitted, submit_many

router = APIRouter(tags=["jobs"])

AT_ONCE = 1000
MAX_LINES = 100_000

Line = tuple[JobRequest | SightlineError, str | None]


@router.post(
    "/v1/jobs:batch",
    summary="Hand in many jobs",
    response_class=Response,
    openapi_extra={"requestBody": batch_body()},
    responses={
        200: {"description": "an outcome per line", "content": {"application/x-ndjson": {"example": BATCH_ANSWER}}},
        **responses(401, 403, 408, 413, 422, 503, 507),
    },
)
async def batch(http: Request, served: Served, who: Submitter) -> Response:
    """Accept a job per line, naming images already stored. A bad line fails alone and the rest of its thousand commits.

    A body over a limit is refused as a whole or, once a thousand is in, by the last line of the answer. If the
    connection breaks, whole thousands may have been accepted: with an `idempotency_key` per line, send again.
    """
    limit = await served.read(tenants.backlog_limit, who.tenant, served.settings.backlog_limit)
    answers: list[str] = []
    waiting: list[Line] = []
    try:
        async for line in _lines(http):
            if len(answers) + len(waiting) == MAX_LINES:
                raise RequestTooLarge(f"a batch has at most {MAX_LINES} lines; what follows was not read")
            waiting.append(_parse(line))
            if len(waiting) == AT_ONCE:
                answers += await _accept(served, who, waiting, limit, len(answers))
                waiting = []
    except InvalidInput as refusal:
        if not answers:
            raise
        # Earlier thousands are in: their outcomes must be told, and then why the rest was not read.
        waiting.append((refusal, None))
    answers += await _accept(served, who, waiting, limit, len(answers))
    if not answers:
        raise InvalidRequest("a batch has at least one line")
    return Response("".join(answers), media_type="application/x-ndjson")


async def _lines(http: Request) -> AsyncIterator[bytes]:
    """Yield the lines of a body as they come; an empty one counts as a line and is yielded too."""
    rest = b""
    async for chunk in http.stream():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > MAX_JSON_BYTES:
            raise RequestTooLarge(f"a line has at most {MAX_JSON_BYTES} bytes")
    if rest.strip():
        yield rest


def _parse(line: bytes) -> Line:
    """Parse a line; what is wrong with it becomes its outcome."""
    try:
        if len(line) > MAX_JSON_BYTES:
            raise RequestTooLarge(f"a line has at most {MAX_JSON_BYTES} bytes")
        told = parse_json(line)
        if not isinstance(told, dict):
            raise InvalidRequest(f"a line is a JSON object, not {type(told).__name__}")
        key = told.pop("idempotency_key", None)
        if key is not None and not isinstance(key, str):
            raise InvalidRequest("idempotency_key is a string")
        return parse_request(told), parse_key(key)
    except SightlineError as error:
        return error, None


async def _accept(served: Resources, who: Principal, lines: list[Line], limit: int, before: int) -> list[str]:
    if not lines:
        return []
    try:
        allowed = [_allowed(who, line) for line in lines]
        work = partial(submit_many, served.engine, who.tenant, allowed, backlog_limit=limit)
        outcomes: list[Submitted | SightlineError] = await served.call(work)
    except SightlineError as error:
        if not before:
            raise
        # Earlier thousands are in: their outcomes must be told, and these lines can be sent again.
        outcomes = [error] * len(lines)
    return [json.dumps(_told(before + at, outcome)) + "\n" for at, outcome in enumerate(outcomes, start=1)]


def _allowed(who: Principal, line: Line) -> Line:
    """Return a line, or what forbids the key to hand it in."""
    request, key = line
    try:
        if not isinstance(request, SightlineError):
            who.require(application(request.application).scope)
    except SightlineError as error:
        return error, key
    return line


def _told(line: int, outcome: Submitted | SightlineError) -> dict[str, Any]:
    if isinstance(outcome, Submitted):
        return {"line": line, "status": 202, "job_id": str(outcome.job_id), "created": outcome.created}
    error: dict[str, Any] = {"code": outcome.code, "message": outcome.message}
    return {"line": line, "status": STATUSES.get(outcome.code, 500), "error": error}
