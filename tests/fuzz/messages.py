"""Fuzz target: what comes from the broker and in a request's body. Any bytes are ids, a request or a typed refusal.

What is accepted has to be storable: as JSON in UTF-8, without NUL; so have the words of a refusal.
"""

import json
import logging
from contextlib import suppress
from datetime import UTC
from uuid import UUID

import atheris

with atheris.instrument_imports(include=["domain.requests", "domain.problems", "domain.texts", "workers.tasks"]):
    from domain.applications import application
    from domain.errors import InvalidInput
    from domain.requests import parse_key, parse_request
    from domain.texts import printable
    from workers.celery_app import MESSAGE_VERSION
    from workers.tasks import parse_ring

from tests.fuzz.fuzzing import fuzz

UNREADABLE = (ValueError, RecursionError)
"""With what a body is refused before anybody looks into it."""


FIELDS = ["application", "params", "images", "lane", "deadline", "not_before", "supersede_key", "metadata"]
WORDS = ["inspection", "signs", "0" * 64, "bulk", "2026-11-21T08:15:02Z", "0001-01-01T00:00:00+23:59", "target", "en"]
ODD = [None, True, False, "", "\0", "\ud800", 10**30, -1, 1e18, "9999-12-31T23:59:59-23:59"]


def take(data: bytes) -> None:
    """Read it as a doorbell and as a submission; what is no JSON says how to make one up."""
    try:
        told = json.loads(data)
    except UNREADABLE:
        told = made_up(atheris.FuzzedDataProvider(data), 4)
    read_as_both(told)


def made_up(data: atheris.FuzzedDataProvider, depth: int) -> object:
    """Return a document that nearly is a submission."""
    match data.ConsumeIntInRange(0, 9 if depth else 5):
        case 0 | 1:
            return data.PickValueInList(WORDS)
        case 2:
            return data.ConsumeUnicode(20)
        case 3:
            return data.ConsumeInt(9)
        case 4:
            return data.ConsumeFloat()
        case 5:
            return data.PickValueInList(ODD)
        case 6:
            return [made_up(data, depth - 1) for _ in range(data.ConsumeIntInRange(0, 4))]
        case _:
            names = [*FIELDS, "idempotency_key", data.ConsumeUnicode(8)]
            some = range(data.ConsumeIntInRange(0, 6))
            return {data.PickValueInList(names): made_up(data, depth - 1) for _ in some}


def read_as_both(told: object) -> None:
    """Read it as a doorbell and as a submission."""
    parts = told if isinstance(told, list) else [told]
    version, ids = (*parts, None, None)[:2]
    for each in (parse_ring(version, ids), parse_ring(MESSAGE_VERSION, told)):
        assert all(isinstance(found, UUID) for found in each)
    for part in parts:
        submit(part)


def submit(told: object) -> None:
    """Do what the intake and the gateway do with a submission before the database is asked."""
    try:
        fields = dict(told) if isinstance(told, dict) else told
        if isinstance(fields, dict):
            with suppress(InvalidInput):
                parse_key(fields.pop("idempotency_key", None))
        request = parse_request(fields)
        application(request.application).parse(request.params)
    except InvalidInput as error:
        storable({"message": printable(error.message, 2_000), "problems": error.details.get("problems")})
        return
    assert len(request.fingerprint()) == 64
    for moment in (request.deadline, request.not_before):
        assert moment is None or 1 <= moment.astimezone(UTC).year <= 9999
    storable(request.params)
    storable(request.metadata)


def storable(told: object) -> None:
    """Check that both databases take it."""
    assert "\0" not in json.dumps(told, ensure_ascii=False, allow_nan=False).encode("utf-8").decode("utf-8")
    assert "\\u0000" not in json.dumps(told).replace("\\\\", "")


SEEDS = [
    [1, ["019b0c8e-6a51-7c13-9e0f-5d1f2a3b4c5d"]],
    [1, [1, None, {}, "x"]],
    [2, []],
    {"application": "inspection", "params": {"part": "a", "recipe": "default"}, "images": ["0" * 64]},
    {"application": "signs", "params": {"target": "en", "min_confidence": 0.5}, "images": ["0" * 64], "lane": "bulk"},
    {"application": "signs", "idempotency_key": "a", "supersede_key": "b", "metadata": {"a": [1, {"b": None}]}},
    {"application": "x", "deadline": "2026-11-21T08:15:02Z", "not_before": "0001-01-01T00:00:00+23:59"},
    {"application": "x", "deadline": 1e18, "params": {"\ud800": "\0"}},
]


def seeds() -> list[bytes]:
    """Return doorbells and submissions, good and bad."""
    odd = [b"NaN", b"1e999", b"[" * 100, b'{"a":' * 50, b'"\xed\xa0\x80"', bytes(range(256))]
    return [json.dumps(told).encode() for told in SEEDS] + odd


if __name__ == "__main__":
    logging.disable()
    fuzz(take, seeds())
