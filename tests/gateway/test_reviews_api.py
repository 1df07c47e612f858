"""Review over HTTP: who sees what waits, claims it and decides it; what each act leaves in the audit log."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import Engine

from domain.access import Scope
from domain.reviews import ReviewNeed
from storage import audit
from storage.session import read
from tests.gateway.sending import inspected, picture, send
from tests.support.life import Life, succeeded


@pytest.fixture
def waiting(client: TestClient, engine: Engine):
    """Send a picture, and end its job with a result that people are asked about; return the job's id."""
    seeds = iter(range(100))

    def put_up(restricted: bool = False, **need: object) -> str:
        job_id = send(client, {"application": "inspection"}, picture(next(seeds))).json()["id"]
        life = Life(engine)
        [claimed] = life.claim(life.worker(), UUID(job_id))
        asked = ReviewNeed(queue="undecided", reasons=("grey-band",), restricted=restricted, **need)
        life.commit(life_worker(life, claimed), succeeded(claimed, body=inspected(1), review=asked))
        return job_id

    return put_up


def life_worker(life: Life, claimed) -> UUID:
    """The worker that holds a job."""
    return life.row(claimed.id).worker


@pytest.fixture
def ann(key_for) -> dict[str, str]:
    return key_for("acme", Scope.REVIEW, Scope.READ)


@pytest.fixture
def bob(key_for) -> dict[str, str]:
    return key_for("acme", Scope.REVIEW, Scope.READ)


def next_item(client: TestClient, who: dict[str, str], **wanted: object):
    return client.post("/v1/reviews:next", json=wanted, headers=who)


def decide(client: TestClient, who: dict[str, str], item: dict, verb: str, **more: object):
    told = {"verb": verb, "reason": "looked-at", "claim": item["claim"], **more}
    return client.post(f"/v1/reviews/{item['id']}/decide", json=told, headers=who)


def test_a_person_claims_the_next_item_and_corrects_it(client, waiting, ann):
    job_id = waiting()
    item = next_item(client, ann).json()
    assert (item["job_id"], item["queue"], item["claimed_name"]) == (job_id, "undecided", "test")
    done = decide(client, ann, item, "correct", correction={"verdict": "ACCEPT", "defects": []})
    assert (done.status_code, done.json()["state"]) == (200, "decided")
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["review"], job["headline"]) == ("decided", "ACCEPT (1 pit)")
    machine, person = client.get(f"/v1/jobs/{job_id}/versions").json()
    assert (machine["by"], machine["body"]["verdict"]) == (None, "REJECT")
    assert (person["by"], person["body"]["verdict"]) == ("test", "ACCEPT")
    assert client.get(f"/v1/jobs/{job_id}/result").json()["corrections"] == 1


def test_nothing_waits_is_an_answer_without_a_body(client, ann):
    answer = next_item(client, ann)
    assert (answer.status_code, answer.content) == (204, b"")


def test_reading_and_submitting_do_not_let_one_review(client, waiting):
    waiting()
    for call in (client.get("/v1/reviews"), client.post("/v1/reviews:next", json={})):
        assert (call.status_code, call.json()["code"]) == (403, "forbidden")


def test_two_people_at_once_get_two_items(client, waiting, ann, bob):
    waiting(), waiting()
    start = threading.Barrier(2)

    def take(who: dict[str, str]) -> str:
        start.wait()
        return next_item(client, who).json()["id"]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(take, (ann, bob))
    assert first != second


def test_who_does_not_hold_an_item_cannot_decide_it(client, waiting, ann, bob):
    waiting()
    item = next_item(client, ann).json()
    refused = decide(client, bob, item, "approve")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    again = client.post(f"/v1/reviews/{item['id']}/claim", json={}, headers=bob)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    client.post(f"/v1/reviews/{item['id']}/release", headers=ann)
    assert client.post(f"/v1/reviews/{item['id']}/claim", json={}, headers=bob).status_code == 200


def test_an_appeal_is_for_another_person(client, waiting, ann, bob):
    job_id = waiting()
    decide(client, ann, next_item(client, ann).json(), "approve")
    appeal = client.post(f"/v1/jobs/{job_id}/appeal", json={"note": "a reflection"})
    assert (appeal.status_code, appeal.json()["kind"]) == (201, "appeal")
    assert next_item(client, ann).status_code == 204
    item = next_item(client, bob).json()
    assert decide(client, bob, item, "uphold").json()["decisions"][0]["verb"] == "uphold"


def test_what_is_restricted_is_hidden_from_ordinary_keys(client, waiting, ann, key_for):
    job_id = waiting(restricted=True)
    few = key_for("acme", Scope.REVIEW, Scope.READ, Scope.RESTRICTED)
    admin = key_for("acme", Scope.ADMIN)
    [item] = client.get("/v1/reviews", headers=few).json()["reviews"]
    sha256 = client.get(f"/v1/jobs/{job_id}").json()["images"][0]
    hidden = {
        f"/v1/jobs/{job_id}/result": 403,
        f"/v1/jobs/{job_id}/versions": 403,
        f"/v1/jobs/{job_id}/overlay.png": 403,
        f"/v1/images/{sha256}": 403,
        f"/v1/reviews/{item['id']}": 404,
        f"/v1/reviews/{item['id']}/thumbnail.png": 404,
        f"/v1/reviews/{item['id']}/original": 404,
    }
    for path, status in hidden.items():
        for who in (ann, admin):
            assert client.get(path, headers=who).status_code == status, path
        assert client.get(path, headers=few).status_code == 200, path
    assert client.get("/v1/reviews", headers=ann).json()["reviews"] == []
    assert client.get("/v1/reviews/queues", headers=admin).json() == []


def test_a_thumbnail_is_small_grey_and_blurred_and_an_original_is_noted(client, engine, waiting, ann):
    waiting()
    [item] = client.get("/v1/reviews", headers=ann).json()["reviews"]
    answer = client.get(f"/v1/reviews/{item['id']}/thumbnail.png", headers=ann)
    with Image.open(io.BytesIO(answer.content)) as small, Image.open(io.BytesIO(picture(0))) as original:
        assert (small.mode, max(small.size)) == ("L", 96)
        grey = original.convert("L")
        assert _steepest(small) < _steepest(grey) / 3
    assert client.get(f"/v1/reviews/{item['id']}/original", headers=ann).content == picture(0)
    assert "original.seen" in [row.action for row in read(engine, audit.entries)]
    assert client.get(f"/v1/reviews/{item['id']}/original?image=1", headers=ann).status_code == 404


def _steepest(grey: Image.Image) -> int:
    """The greatest step between two neighbours of a row."""
    width, values = grey.width, grey.tobytes()
    return max(abs(values[at] - values[at - 1]) for at in range(len(values)) if at % width)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("claim", {"seconds": 0}),
        ("claim", {"minutes": 1}),
        ("decide", {"verb": "approve", "reason": "Not A Code", "claim": 1}),
        ("decide", {"verb": "bless", "reason": "fine", "claim": 1}),
        ("decide", {"verb": "approve", "reason": "fine"}),
        ("decide", {"verb": "approve", "reason": "fine", "comment": "a\0b", "claim": 1}),
    ],
)
def test_a_malformed_act_is_refused_by_field(client, waiting, ann, path, body):
    waiting()
    [item] = client.get("/v1/reviews", headers=ann).json()["reviews"]
    refused = client.post(f"/v1/reviews/{item['id']}/{path}", json=body, headers=ann)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_the_use_of_a_key_is_noted_once(client, engine):
    for _ in range(3):
        client.get("/v1/jobs")
    assert [row.action for row in read(engine, audit.entries)] == ["key.used"]


def test_a_tenants_administrator_reads_its_rows_alone(client, engine, key_for):
    ours, theirs = key_for("acme", Scope.ADMIN), key_for("globex", Scope.ADMIN)
    client.get("/v1/jobs", headers=theirs)
    rows = client.get("/v1/audit", headers=ours).json()
    assert {row["tenant"] for row in rows} == {"acme"}
    assert client.get("/v1/audit").status_code == 403


def test_a_picture_that_does_not_decode_has_no_thumbnail_and_says_so():
    from domain.errors import ImageUnreadable
    from gateway.drawing.thumbnail import thumbnail

    with pytest.raises(ImageUnreadable):
        thumbnail(picture(0, (400, 300), "JPEG")[:2000])


def test_looks_at_what_is_restricted_are_noted_and_not_in_the_tenants_own_rows(client, engine, waiting, key_for):
    job_id = waiting(restricted=True)
    few = key_for("acme", Scope.REVIEW, Scope.READ, Scope.RESTRICTED)
    [item] = client.get("/v1/reviews", headers=few).json()["reviews"]
    sha256 = client.get(f"/v1/jobs/{job_id}").json()["images"][0]
    looks = [f"/v1/reviews/{item['id']}{kind}" for kind in ("", "/thumbnail.png", "/original")]
    looks += [f"/v1/jobs/{job_id}/{kind}" for kind in ("result", "versions", "overlay.png")]
    for path in (*looks, f"/v1/images/{sha256}"):
        before = len(read(engine, audit.entries))
        assert client.get(path, headers=few).status_code == 200
        seen = [row for row in read(engine, audit.entries)[before:] if row.action != "key.used"]
        assert [(row.action in {"restricted.seen", "original.seen"}, row.tenant) for row in seen] == [(True, None)], (
            path
        )


def test_a_thumbnail_of_a_large_picture_is_made_without_decoding_all_of_it():
    from gateway.drawing.picture import decoded

    assert max(decoded(picture(0, (4000, 3000), "JPEG"), 320).size) == 320
