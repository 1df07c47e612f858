"""Training jobs are handed in by administrators alone."""

import json
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from domain.access import Scope

pytestmark = pytest.mark.service

TRAINING = {"application": "training", "params": {"family": "yolo", "dataset": "boards", "name": "boards"}}


def test_a_key_that_may_only_submit_cannot_train(gateway: TestClient, key_for: Callable[..., dict[str, str]]) -> None:
    submitter, admin = key_for("acme", Scope.SUBMIT), key_for("acme", Scope.ADMIN)

    refused = gateway.post("/v1/jobs", json=TRAINING, headers=submitter)
    line = gateway.post("/v1/jobs:batch", content=json.dumps(TRAINING), headers=submitter)
    accepted = gateway.post("/v1/jobs", json=TRAINING, headers=admin)

    assert refused.status_code == 403, refused.text
    assert "needs the scope 'admin'" in refused.text
    assert json.loads(line.text)["status"] == 403
    assert accepted.status_code == 202, accepted.text


def test_a_key_that_may_only_submit_can_neither_stop_a_training_nor_start_it_anew(
    gateway: TestClient, key_for: Callable[..., dict[str, str]]
) -> None:
    submitter, admin = key_for("acme", Scope.SUBMIT), key_for("acme", Scope.ADMIN)
    job = "/v1/jobs/" + gateway.post("/v1/jobs", json=TRAINING, headers=admin).json()["id"]

    assert gateway.post(f"{job}/cancel", headers=submitter).status_code == 403
    assert gateway.post(f"{job}/cancel", headers=admin).json()["state"] == "cancelled"
    assert gateway.post(f"{job}/replay", headers=submitter).status_code == 403
    assert gateway.post(f"{job}/replay", headers=admin).json()["state"] == "queued"
    assert gateway.post(f"{job}/cancel", headers=key_for("other", Scope.SUBMIT)).status_code == 404


@pytest.mark.parametrize("dataset", ["../boards", "/srv/boards", "a/b"])
def test_a_path_is_refused_when_the_job_is_handed_in(
    dataset: str, gateway: TestClient, key_for: Callable[..., dict[str, str]]
) -> None:
    told = {**TRAINING, "params": {**TRAINING["params"], "dataset": dataset}}  # type: ignore[dict-item]

    refused = gateway.post("/v1/jobs", json=told, headers=key_for("acme", Scope.ADMIN))

    assert refused.status_code == 422
    assert "dataset" in refused.text
