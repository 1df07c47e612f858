"""Health, metrics, and the document that describes it all."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import validate
from sqlalchemy import Engine

from domain.access import Scope
from gateway.api.app import create_app
from gateway.api.problems import STATUSES
from storage import gauges, model_loads
from storage.model_loads import ModelTally
from storage.session import read, write
from storage.settings import Settings
from tests.gateway.sending import finish, make_key, picture, send
from tests.support.life import Life

pytestmark = pytest.mark.service


def test_a_gateway_that_can_serve_says_so(gateway: TestClient) -> None:
    assert gateway.get("/healthz").json() == {"status": "ok"}
    answer = gateway.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "database": "ok", "images": "ok", "workers": 0})


def test_a_gateway_without_its_database_is_alive_but_not_ready(tmp_path: Path) -> None:
    # given a database that cannot be opened
    (tmp_path / "folder").mkdir()
    settings = Settings(data=tmp_path, database_url=f"sqlite:///{tmp_path / 'folder'}")
    # when it is asked how it is, and for a job
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        alive, ready = client.get("/healthz"), client.get("/readyz")
        asked = client.get("/v1/jobs", headers={"Authorization": "Bearer sl_0_0"})
    # then it lives, is not ready, and says when to try again
    assert alive.status_code == 200
    assert (ready.status_code, ready.json()["ready"], ready.json()["images"]) == (503, False, "ok")
    assert "database" in ready.json()["database"]
    assert (asked.status_code, asked.json()["code"], asked.headers["retry-after"]) == (503, "storage_unavailable", "5")


def test_a_gateway_without_its_image_store_keeps_no_job(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    # given a store whose folder is a file
    (tmp_path / "blocked").write_text("a file")
    blocked = settings.model_copy(update={"images_url": str(tmp_path / "blocked")})
    headers = {"Authorization": f"Bearer {make_key(engine, 'acme', Scope.SUBMIT, Scope.READ)}"}
    # when a picture is handed in
    with TestClient(create_app(blocked), headers=headers, raise_server_exceptions=False) as client:
        ready, answer = client.get("/readyz"), send(client, {"application": "inspection"}, picture())
        listed = client.get("/v1/jobs").json()["jobs"]
    # then it is refused for now and nothing was accepted
    assert ready.status_code == 503
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert listed == []


def test_metrics_tell_of_jobs_queues_and_requests_and_of_no_tenant(client: TestClient, engine: Engine) -> None:
    # given a waiting job and one that ended
    first = send(client, {"application": "inspection"}, picture()).json()
    send(client, {"application": "inspection", "lane": "bulk"}, picture())
    finish(engine, first["id"])
    # when the metrics are read
    text = client.get("/metrics").text
    # then they tell of both, and of the requests, by route
    assert 'sightline_jobs{application="inspection",lane="standard",state="succeeded"} 1.0' in text
    assert 'sightline_jobs{application="inspection",lane="bulk",state="queued"} 1.0' in text
    assert 'sightline_queue_eligible_jobs{application="inspection",lane="bulk"} 1.0' in text
    assert "sightline_workers 1.0" in text
    assert 'sightline_http_request_seconds_count{method="POST",route="/v1/jobs",status="202"} 2.0' in text
    assert "acme" not in text
    assert first["id"] not in text


def test_metrics_tell_of_models_over_all_workers_and_their_counters_never_fall(
    client: TestClient, engine: Engine
) -> None:
    # given two workers that loaded a model, one of which had evicted it soon before
    life = Life(engine)
    first, second = life.worker(), life.worker()
    write(engine, model_loads.tell, first, [ModelTally("reader", "cpu", 3, 2, 1, 500)])
    write(engine, model_loads.tell, second, [ModelTally("reader", "cpu", 1, 0, 0, 400)])
    # when the metrics are read before and after the first one's end
    before = client.get("/metrics").text
    life.end(first)
    after = client.get("/metrics").text
    # then both count as long as they live, and what was counted stays
    reader = '{device="cpu",model="reader"}'
    for counted in ("loads_total%s 4.0", "evictions_total%s 2.0", "thrashes_total%s 1.0"):
        assert f"sightline_model_{counted % reader}\n" in before
        assert f"sightline_model_{counted % reader}\n" in after
    assert f"sightline_model_resident_bytes{reader} 900.0\n" in before
    assert f"sightline_model_resident_bytes{reader} 400.0\n" in after


def test_the_gauges_tell_delayed_jobs_from_eligible_ones(client: TestClient, engine: Engine) -> None:
    # given a job that waits and one that is held back
    send(client, {"application": "inspection"}, picture())
    send(client, {"application": "inspection", "not_before": "2999-01-01T00:00:00Z"}, picture())
    # when the queue is measured
    (queue,) = read(engine, gauges.queues)
    # then only the first counts, and has an age
    assert (queue.application, queue.lane, queue.eligible, queue.running) == ("inspection", "standard", 1, 0)
    assert 0 <= queue.oldest_age_s < 60


def test_the_openapi_document_is_valid_and_complete(gateway: TestClient) -> None:
    # given the document
    document = gateway.get("/openapi.json").json()
    # when it is validated
    validate(document)
    # then every endpoint of the design is there, with the problems it may answer with
    paths = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert paths == {
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs:batch"),
        ("GET", "/v1/jobs/{job_id}"),
        ("POST", "/v1/jobs/{job_id}/cancel"),
        ("POST", "/v1/jobs/{job_id}/replay"),
        ("GET", "/v1/jobs/{job_id}/result"),
        ("GET", "/v1/jobs/{job_id}/overlay.png"),
        ("POST", "/v1/images"),
        ("GET", "/v1/images/{sha256}"),
        ("GET", "/v1/jobs/{job_id}/versions"),
        ("GET", "/v1/jobs/{job_id}/statement"),
        ("POST", "/v1/jobs/{job_id}/appeal"),
        ("GET", "/v1/events"),
        ("GET", "/v1/banks"),
        ("POST", "/v1/banks"),
        ("PATCH", "/v1/banks/{bank}"),
        ("GET", "/v1/banks/{bank}/entries"),
        ("POST", "/v1/banks/{bank}/entries"),
        ("DELETE", "/v1/banks/{bank}/entries/{kind}/{value}"),
        ("GET", "/v1/banks/{bank}/history"),
        ("POST", "/v1/banks/{bank}/import"),
        ("GET", "/v1/banks/{bank}/export"),
        ("GET", "/v1/reviews"),
        ("GET", "/v1/reviews/queues"),
        ("POST", "/v1/reviews:next"),
        ("GET", "/v1/reviews/{review_id}"),
        ("POST", "/v1/reviews/{review_id}/claim"),
        ("POST", "/v1/reviews/{review_id}/release"),
        ("POST", "/v1/reviews/{review_id}/decide"),
        ("GET", "/v1/reviews/{review_id}/thumbnail.png"),
        ("GET", "/v1/reviews/{review_id}/original"),
        ("GET", "/v1/reports/{report_id}"),
        ("GET", "/v1/reports/{report_id}.txt"),
        ("GET", "/v1/reports/{report_id}.pdf"),
        ("GET", "/v1/reports/{report_id}.fhir.json"),
        ("POST", "/v1/reports/{report_id}/review"),
        ("POST", "/v1/reports/{report_id}/resolve"),
        ("POST", "/v1/reports/{report_id}/revise"),
        ("POST", "/v1/reports/{report_id}/reject"),
        ("POST", "/v1/reports/{report_id}/amend"),
        ("POST", "/v1/reports/{report_id}/sign"),
        ("GET", "/v1/configurations/{application}"),
        ("POST", "/v1/configurations/{application}/{kind}/{name}"),
        ("GET", "/v1/configurations/{application}/{kind}/{name}"),
        ("GET", "/v1/configurations/{application}/{kind}/{name}/{version}"),
        ("POST", "/v1/configurations/{application}/{kind}/{name}/{version}/activate"),
        ("GET", "/v1/configurations/{application}/{kind}/{name}/{version}/trial"),
        ("GET", "/v1/audit"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }
    submit = document["paths"]["/v1/jobs"]["post"]
    assert {"200", "202", "401", "403", "404", "409", "413", "415", "422", "429"} <= set(submit["responses"])
    assert list(submit["responses"]["422"]["content"]) == ["application/problem+json"]
    body = submit["requestBody"]["content"]
    assert body["multipart/form-data"]["examples"]
    assert body["application/json"]["examples"]
    assert document["components"]["schemas"]["JobRequest"]["required"] == ["application"]
    assert document["components"]["securitySchemes"]


def test_every_error_that_may_reach_the_edge_has_a_status() -> None:
    # given the domain's tree of errors, without those that only end a run, or keep another process from starting
    from domain.errors import BrokerUnsafe, RunError, RunStopped, SightlineError

    def codes(kind: type[SightlineError]) -> set[str]:
        if kind in {RunError, RunStopped, BrokerUnsafe}:
            return set()
        return {kind.code}.union(*map(codes, kind.__subclasses__()))

    # when they are looked up
    # then each has its status, and none is left over
    assert codes(SightlineError) - {"error"} == set(STATUSES)


def test_an_unexpected_error_tells_nothing_of_the_inside(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an endpoint that breaks with a secret in its message
    app = create_app(settings)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the password is swordfish")

    # when it is called
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/broken")
    # then the problem document says only that it was logged
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "swordfish" not in answer.text
