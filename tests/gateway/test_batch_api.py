"""Many jobs in one request."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from gateway.api.submissions import MAX_JSON_BYTES
from storage import tenants
from storage.session import write
from storage.tables import jobs
from tests.gateway.sending import picture, rows

pytestmark = pytest.mark.service


def lines(*told: object) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in told)


def post(client: TestClient, body: bytes) -> list[dict[str, Any]]:
    answer = client.post("/v1/jobs:batch", content=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_bad_line_fails_alone(client: TestClient, engine: Engine) -> None:
    # given good lines and every kind of bad one between them
    kept = client.post("/v1/images", content=picture()).json()["sha256"]
    good = {"application": "inspection", "images": [kept]}
    body = lines(
        good,
        {"application": "astrology", "images": [kept]},
        b"{not json",
        b"",
        b"[]",
        {**good, "images": ["0" * 64]},
        {**good, "params": {"colour": 1}},
        {**good, "idempotency_key": 7},
        {**good, "idempotency_key": "two words"},
        {**good, "lane": "bulk"},
    )
    # when they are handed in
    told = post(client, body)
    # then each line has its outcome, and the good ones are jobs
    assert [each["line"] for each in told] == list(range(1, 11))
    assert [each["status"] for each in told] == [202, 422, 422, 422, 422, 404, 422, 422, 422, 202]
    assert [each["error"]["code"] for each in told if "error" in each] == [
        "unknown_application",
        *["invalid_request"] * 3,
        "not_found",
        "invalid_parameters",
        *["invalid_request"] * 2,
    ]
    assert rows(engine, jobs) == 2
    assert client.get(f"/v1/jobs/{told[9]['job_id']}").json()["lane"] == "bulk"


@pytest.mark.slow
def test_sending_a_batch_again_makes_no_job_twice(client: TestClient, engine: Engine) -> None:
    # given a batch with keys, more than one transaction holds
    kept = client.post("/v1/images", content=picture()).json()["sha256"]
    body = lines(*({"application": "inspection", "images": [kept], "idempotency_key": f"k{at}"} for at in range(1002)))
    # when it is sent twice
    first, again = post(client, body), post(client, body)
    # then the second time finds the jobs of the first
    assert [each["job_id"] for each in first] == [each["job_id"] for each in again]
    assert {each["created"] for each in first} == {True}
    assert {each["created"] for each in again} == {False}
    assert rows(engine, jobs) == 1002


def test_the_backlog_limit_holds_within_a_batch(client: TestClient, engine: Engine) -> None:
    # given room for three
    write(engine, tenants.configure, "acme", backlog_limit=3)
    kept = client.post("/v1/images", content=picture()).json()["sha256"]
    # when five come
    told = post(client, lines(*[{"application": "inspection", "images": [kept]}] * 5))
    # then two have to wait
    assert [each["status"] for each in told] == [202, 202, 202, 429, 429]


def test_a_last_line_without_its_end_counts(client: TestClient) -> None:
    kept = client.post("/v1/images", content=picture()).json()["sha256"]
    body = lines({"application": "inspection", "images": [kept]}).rstrip(b"\n")
    assert [each["status"] for each in post(client, body)] == [202]


def test_a_batch_without_a_line_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/jobs:batch", content=b"")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.slow
def test_a_batch_that_cannot_be_read_to_its_end_tells_what_became_of_the_thousands_before(
    client: TestClient, engine: Engine
) -> None:
    # given more than one transaction holds, and a line behind it that is longer than is taken
    kept = client.post("/v1/images", content=picture()).json()["sha256"]
    body = lines(*[{"application": "inspection", "images": [kept]}] * 1001)
    # when they are handed in
    told = post(client, body + b"x" * (MAX_JSON_BYTES + 1))
    # then each has its outcome, and the last one says why no more was read
    assert [each["status"] for each in told] == [202] * 1001 + [413]
    assert told[-1]["error"]["code"] == "request_too_large"
    assert rows(engine, jobs) == 1001


def test_a_batch_that_cannot_be_read_and_of_which_nothing_is_in_is_refused(client: TestClient, engine: Engine) -> None:
    kept = client.post("/v1/images", content=picture()).json()["sha256"]
    body = lines({"application": "inspection", "images": [kept]}) + b"x" * (MAX_JSON_BYTES + 1)
    assert client.post("/v1/jobs:batch", content=body).status_code == 413
    assert rows(engine, jobs) == 0
