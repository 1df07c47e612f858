"""What the OpenAPI document shows: request bodies that the endpoints read by themselves, and answers as they look."""

from typing import Any

from domain.requests import JobRequest
from gateway.api.problems import Problem

JOB_ID = "019b0c8e-6a51-7c13-9e0f-5d1f2a3b4c5d"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

REQUEST = {"application": "inspection", "params": {"part": "bracket-12", "serial": "A-0042"}, "lane": "interactive"}
NAMED_REQUEST = {"application": "signs", "params": {"target": "en"}, "images": [SHA256]}

JOB = {
    "id": JOB_ID,
    "tenant": "default",
    "application": "inspection",
    "lane": "interactive",
    "state": "succeeded",
    "attempts": 0,
    "created_at": "2026-11-21T08:15:02.114Z",
    "ready_at": "2026-11-21T08:15:02.114Z",
    "started_at": "2026-11-21T08:15:02.131Z",
    "ended_at": "2026-11-21T08:15:02.502Z",
    "deadline": None,
    "late": False,
    "cancel_requested": False,
    "suspect": False,
    "strikes": 0,
    "idempotency_key": None,
    "supersede_key": None,
    "params": {"part": "bracket-12", "serial": "A-0042"},
    "metadata": {},
    "images": [SHA256],
    "headline": "REJECT: 2 defects",
    "review": None,
    "restricted": False,
    "error": None,
}

EVENT_STREAM = f"""id: 17
event: job.succeeded
data: {{"job_id": "{JOB_ID}", "created_at": "2026-11-21T08:15:02.502Z", "state": "succeeded"}}
"""

BATCH_LINES = '{"application": "inspection", "images": ["9f86..."], "idempotency_key": "line-4-0001"}\n'
BATCH_ANSWER = f"""{{"line": 1, "status": 202, "job_id": "{JOB_ID}", "created": true}}
{{"line": 2, "status": 422, "error": {{"code": "unknown_application", "message": "there is no application 'x'"}}}}
"""


def submission_body() -> dict[str, Any]:
    """Describe the two forms of a submission."""
    multipart = {
        "type": "object",
        "required": ["request"],
        "additionalProperties": False,
        "properties": {
            "request": {"$ref": "#/components/schemas/JobRequest"},
            "images": {"type": "array", "items": {"type": "string", "format": "binary"}},
        },
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": multipart,
                "encoding": {"request": {"contentType": "application/json"}},
                "examples": {"picture": {"summary": "files with the request", "value": {"request": REQUEST}}},
            },
            "application/json": {
                "schema": {"$ref": "#/components/schemas/JobRequest"},
                "examples": {"stored": {"summary": "images already stored", "value": NAMED_REQUEST}},
            },
        },
    }


def batch_body() -> dict[str, Any]:
    """Describe a batch of JSON lines."""
    return {
        "required": True,
        "description": "a request per line; each may carry an `idempotency_key` of its own",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": BATCH_LINES}},
    }


def image_body() -> dict[str, Any]:
    """Describe an image upload: the bare bytes, or multipart with one part `image`."""
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "required": ["image"], "additionalProperties": False, "properties": {"image": binary}}
    return {
        "required": True,
        "content": {"application/octet-stream": {"schema": binary}, "multipart/form-data": {"schema": form}},
    }


def add_schemas(document: dict[str, Any]) -> None:
    """Add the schemas of what FastAPI does not see: bodies that the endpoints read by themselves, and problems."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model, examples in ((JobRequest, [REQUEST, NAMED_REQUEST]), (Problem, [])):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = {**schema, **({"examples": examples} if examples else {})}
