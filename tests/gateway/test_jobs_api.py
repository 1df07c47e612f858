"""Jobs over HTTP, against the real application on each database."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from domain.access import Scope
from gateway.api.app import create_app
from storage import tenants
from storage.session import write
from storage.settings import Settings
from storage.tables import images, jobs
from tests.gateway.sending import make_key, picture, rows, send

pytestmark = pytest.mark.service

PROBLEM = "application/problem+json"


def test_a_bare_picture_becomes_a_queued_job_that_can_be_read(client: TestClient) -> None:
    # given a picture and nothing but the application's name
    # when it is handed in
    answer = send(client, {"application": "inspection"}, picture())
    # then the job is accepted and can be read
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert UUID(job["id"]).version == 7
    assert (job["state"], job["application"], job["lane"]) == ("queued", "inspection", "standard")
    assert job["error"] is None
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert client.get(f"/v1/jobs/{job['id']}").json() == job


def test_a_job_may_name_an_image_that_was_handed_in_before(client: TestClient) -> None:
    # given a stored image
    kept = client.post("/v1/images", content=picture(3))
    assert kept.status_code == 201, kept.text
    sha256 = kept.json()["sha256"]
    # when a job names it
    answer = client.post("/v1/jobs", json={"application": "inspection", "images": [sha256]})
    # then it is the job's image
    assert answer.json()["images"] == [sha256]


def test_the_request_part_may_be_a_file_of_json(client: TestClient) -> None:
    # given clients that send the JSON part with a content type and a name
    parts = [("request", ("request.json", b'{"application": "inspection"}', "application/json"))]
    # when such a submission comes
    answer = client.post("/v1/jobs", files=[*parts, ("images", ("a.png", picture(), "image/png"))])
    # then it is accepted
    assert answer.status_code == 202, answer.text


def test_the_same_key_with_the_same_request_returns_the_same_job(client: TestClient) -> None:
    # given a submission with an idempotency key
    headers = {"Idempotency-Key": "line-4/0001"}
    first = send(client, {"application": "inspection"}, picture(1), headers=headers).json()
    # when it is sent again
    again = send(client, {"application": "inspection"}, picture(1), headers=headers)
    # then it is the same job, and said to be
    assert again.json()["id"] == first["id"]
    assert again.headers["idempotency-replayed"] == "true"


def test_the_same_key_with_another_picture_is_a_conflict(client: TestClient) -> None:
    # given a submission with an idempotency key
    headers = {"Idempotency-Key": "k"}
    send(client, {"application": "inspection"}, picture(1), headers=headers)
    # when the key comes with another picture
    answer = send(client, {"application": "inspection"}, picture(2), headers=headers)
    # then it is told from a repetition
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("request_", "status", "code", "said"),
    [
        ({"application": "astrology"}, 422, "unknown_application", "astrology"),
        ({"application": "inspection", "params": {"colour": "red"}}, 422, "invalid_parameters", "colour"),
        ({"application": "inspection", "lane": "express"}, 422, "invalid_request", "lane"),
        ({"application": "inspection", "urgent": True}, 422, "invalid_request", "urgent"),
        ({"application": "inspection", "deadline": "tomorrow"}, 422, "invalid_request", "deadline"),
        ({"application": "inspection", "deadline": "2030-01-01T00:00:00"}, 422, "invalid_request", "deadline"),
        ({"application": "inspection", "supersede_key": "two words"}, 422, "invalid_request", "supersede_key"),
        ({}, 422, "invalid_request", "application"),
    ],
)
def test_a_bad_request_says_which_field_is_wrong_and_stores_nothing(
    client: TestClient, engine: Engine, request_: dict[str, object], status: int, code: str, said: str
) -> None:
    # given a good picture and a bad request
    # when they are handed in
    answer = send(client, request_, picture())
    # then the answer is a problem document that names the field, and nothing was kept
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert said in problem["detail"]
    assert (rows(engine, jobs), rows(engine, images)) == (0, 0)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "image_empty"),
        (picture(size=(400, 300), kind="JPEG")[:2000], 422, "image_unreadable"),
        (b"this is a text, whatever its name says", 422, "image_unreadable"),
        (b"%PDF-1.7 and so on", 415, "image_format_refused"),
        (b"x" * (32 * 1024 * 1024 + 1), 413, "image_too_large"),
    ],
    ids=["empty", "truncated", "text", "pdf", "large"],
)
def test_a_bad_picture_is_refused_by_name_and_nothing_is_stored(
    client: TestClient, engine: Engine, data: bytes, status: int, code: str
) -> None:
    # given a good picture and a bad one in the same submission
    # when they are handed in
    answer = send(client, {"application": "inspection"}, picture(), data)
    # then the bad one is named, and not even the good one was kept
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "images[1] (1.png)" in answer.json()["detail"]
    assert (rows(engine, jobs), rows(engine, images)) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b'"x"', b"[" * 100_000, b'{"application": NaN}', b"\xff\xfe", b'{"application": "a\\u0000"}'],
)
def test_what_is_not_a_request_at_all_is_refused_politely(client: TestClient, body: bytes) -> None:
    # given bytes that are no request
    # when they are posted
    answer = client.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    # then it is the sender's fault
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("value", ['"\\ud800"', "NaN", '"a\\u0000b"', "1e999", "[" * 200 + "]" * 200])
def test_metadata_that_a_database_cannot_hold_is_refused(client: TestClient, value: str) -> None:
    # given JSON that parses, with a value that PostgreSQL or the standard forbids
    body = f'{{"application": "inspection", "metadata": {{"note": {value}}}}}'
    # when it comes with a picture
    answer = client.post("/v1/jobs", data={"request": body}, files={"images": ("a.png", picture())})
    # then it never crashes the gateway
    assert answer.status_code in {202, 422}, answer.text


def test_another_tenants_image_and_job_are_not_found(
    client: TestClient, key_for: Callable[..., dict[str, str]]
) -> None:
    # given a job and an image of one tenant
    job = send(client, {"application": "inspection"}, picture()).json()
    other = key_for("rival", Scope.SUBMIT, Scope.READ)
    # when another tenant asks for them, or names the image
    asked = [
        client.get(f"/v1/jobs/{job['id']}", headers=other),
        client.get(f"/v1/jobs/{job['id']}/result", headers=other),
        client.get(f"/v1/jobs/{job['id']}/overlay.png", headers=other),
        client.post(f"/v1/jobs/{job['id']}/cancel", headers=other),
        client.post(f"/v1/jobs/{job['id']}/replay", headers=other),
        client.get(f"/v1/images/{job['images'][0]}", headers=other),
        client.post("/v1/jobs", json={"application": "inspection", "images": job["images"]}, headers=other),
    ]
    # then nothing of it exists for them
    assert [(answer.status_code, answer.json()["code"]) for answer in asked] == [(404, "not_found")] * 7
    assert client.get("/v1/jobs", headers=other).json() == {"jobs": [], "next": None}


def test_calls_need_a_key_with_the_scope(gateway: TestClient, key_for: Callable[..., dict[str, str]]) -> None:
    # given no key, an unknown one, and one that may only read
    reader = key_for("acme", Scope.READ)
    # when they submit
    bare = gateway.post("/v1/jobs", json={"application": "inspection"})
    unknown = gateway.get("/v1/jobs", headers={"Authorization": "Bearer sl_00000000_nothing"})
    unfit = gateway.post("/v1/jobs", json={"application": "inspection"}, headers=reader)
    # then they are refused, each in its way
    assert (bare.status_code, bare.json()["code"], bare.headers["www-authenticate"]) == (
        401,
        "unauthenticated",
        "Bearer",
    )
    assert (unknown.status_code, unknown.json()["code"]) == (401, "unauthenticated")
    assert (unfit.status_code, unfit.json()["code"]) == (403, "forbidden")
    assert "'submit'" in unfit.json()["detail"]
    assert gateway.get("/v1/jobs", headers=reader).status_code == 200


def test_a_full_backlog_answers_429_and_when_to_come_back(client: TestClient, engine: Engine) -> None:
    # given a tenant whose limit is two
    write(engine, tenants.configure, "acme", backlog_limit=2)
    kept = client.post("/v1/images", content=picture()).json()["sha256"]
    # when three jobs come
    request = {"application": "inspection", "images": [kept]}
    answers = [client.post("/v1/jobs", json=request) for _ in range(3)]
    # then the third has to wait
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[2].headers["retry-after"]) > 0
    assert answers[2].json()["code"] == "backlog_full"


def test_lists_are_filtered_and_paged_newest_first(client: TestClient) -> None:
    # given five jobs in two lanes
    kept = client.post("/v1/images", content=picture()).json()["sha256"]
    made = []
    for at in range(5):
        lane = "bulk" if at % 2 else "standard"
        made.append(client.post("/v1/jobs", json={"application": "inspection", "images": [kept], "lane": lane}).json())
    ids = [job["id"] for job in reversed(made)]
    # when they are listed in pages of two
    listed, before = [], None
    while True:
        page = client.get("/v1/jobs", params={"limit": 2, **({"before": before} if before else {})}).json()
        listed += [job["id"] for job in page["jobs"]]
        before = page["next"]
        if before is None:
            break
    # then each appears once, newest first, and filters hold
    assert listed == ids
    assert [job["id"] for job in client.get("/v1/jobs?lane=bulk").json()["jobs"]] == [ids[1], ids[3]]
    assert client.get("/v1/jobs?state=succeeded").json()["jobs"] == []
    assert client.get("/v1/jobs?state=nonsense").status_code == 422
    assert client.get("/v1/jobs?limit=0").json()["code"] == "invalid_request"


def test_a_job_is_found_by_its_idempotency_key(client: TestClient) -> None:
    # given a job with a key
    job = send(client, {"application": "inspection"}, picture(), headers={"Idempotency-Key": "abc"}).json()
    # when it is looked for
    found = client.get("/v1/jobs", params={"idempotency_key": "abc"}).json()["jobs"]
    # then it is found
    assert [each["id"] for each in found] == [job["id"]]


def test_a_waiting_job_is_cancelled_and_replayed(client: TestClient) -> None:
    # given a waiting job
    job = send(client, {"application": "inspection"}, picture()).json()
    # when it is cancelled, replayed, and replayed once more
    cancelled = client.post(f"/v1/jobs/{job['id']}/cancel").json()
    replayed = client.post(f"/v1/jobs/{job['id']}/replay").json()
    refused = client.post(f"/v1/jobs/{job['id']}/replay")
    # then it ended, waits again, and a waiting job has nothing to replay
    assert (cancelled["state"], replayed["state"]) == ("cancelled", "queued")
    assert (refused.status_code, refused.json()["code"]) == (409, "transition_refused")


def test_a_job_without_a_result_says_so(client: TestClient) -> None:
    # given a waiting job
    job = send(client, {"application": "inspection"}, picture()).json()
    # when its result and its picture are asked for
    answers = [client.get(f"/v1/jobs/{job['id']}/{what}") for what in ("result", "overlay.png")]
    # then the state is in the way
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "transition_refused")] * 2


def test_waiting_for_a_job_that_does_not_end_answers_202_in_time(client: TestClient) -> None:
    # given no worker
    # when a caller waits half a second for a job
    answer = send(client, {"application": "inspection"}, picture(), params={"wait": 0.5})
    # then the job is accepted, and told to be waiting
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert send(client, {"application": "inspection"}, picture(), params={"wait": 31}).status_code == 422


def test_an_unknown_job_path_or_id_is_a_problem_document(client: TestClient) -> None:
    # given ids that are none, or nobody's
    # when they are asked for
    answers = [client.get(f"/v1/jobs/{uuid4()}"), client.get("/v1/jobs/7"), client.get("/v2"), client.put("/v1/jobs")]
    # then each answer is a problem document
    assert [answer.status_code for answer in answers] == [404, 422, 404, 405]
    assert {answer.headers["content-type"] for answer in answers} == {PROBLEM}


def test_a_body_beyond_the_limit_is_refused_with_and_without_its_length(settings: Settings, engine: Engine) -> None:
    # given a gateway that takes 10 kB
    key = make_key(engine, "acme", Scope.SUBMIT)
    small = settings.model_copy(update={"max_request_bytes": 10_000})
    with TestClient(create_app(small), headers={"Authorization": f"Bearer {key}"}) as client:
        # when 20 kB come at once, or in chunks of unknown number
        known = client.post("/v1/images", content=b"x" * 20_000)
        chunked = client.post("/v1/images", content=(b"x" * 1000 for _ in range(20)))
        batch = client.post("/v1/jobs:batch", content=(b"{}\n" * 500 for _ in range(20)))
    # then it is too much
    assert [(answer.status_code, answer.json()["code"]) for answer in (known, chunked, batch)] == [
        (413, "request_too_large")
    ] * 3
