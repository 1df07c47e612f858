"""Reports over HTTP: read, reviewed and signed, and who is refused."""

from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from domain.access import Scope
from domain.reports import STATEMENT, UNVERIFIED
from storage import audit, reports
from storage.reports import Examination
from storage.session import read, write
from tests.gateway.reports.conftest import result

ACCESSION = "ACC-4711"


@pytest.fixture
def path(engine: Engine) -> str:
    """The path of a drafted report of the tenant `acme`."""
    about = Examination("pseudonym-17", ACCESSION)
    return f"/v1/reports/{write(engine, reports.draft, 'acme', uuid4(), about, result())}"


@pytest.fixture
def reader(key_for) -> dict[str, str]:
    return key_for("acme", Scope.REVIEW)


def prepared(gateway: TestClient, path: str, reader: dict[str, str]) -> dict[str, str]:
    """Resolve and review the report; return the body of a signature."""
    settled = {"discrepancy": "side-1", "sentence": "the marker is wrong"}
    digest = gateway.post(f"{path}/resolve", json=settled, headers=reader).json()["content_hash"]
    answer = gateway.post(f"{path}/review", json={"content_hash": digest}, headers=reader)
    assert (answer.status_code, answer.json()["state"]) == (200, "reviewed")
    return {"content_hash": digest, "accession_number": ACCESSION, "statement": STATEMENT}


def test_every_rendering_of_a_draft_is_unverified_and_its_reading_noted(gateway, engine, path, reader) -> None:
    told = {end: gateway.get(path + end, headers=reader) for end in ("", ".txt", ".pdf", ".fhir.json")}
    assert [answer.status_code for answer in told.values()] == [200] * 4
    assert told[""].json()["banner"] == UNVERIFIED
    assert told[".txt"].text.startswith(UNVERIFIED)
    assert UNVERIFIED.encode() in told[".pdf"].content
    assert '"partial"' in told[".fhir.json"].text
    assert [row.action for row in read(engine, audit.entries)].count("report.seen") == 4
    assert ACCESSION not in "".join(answer.text for answer in told.values())


def test_a_clinician_signs_and_the_banner_is_gone(gateway, path, reader, key_for) -> None:
    body = prepared(gateway, path, reader)
    clinician = key_for("acme", Scope.SIGN)
    signed = gateway.post(f"{path}/sign", json=body, headers=clinician)
    assert (signed.status_code, signed.json()["state"], signed.json()["banner"]) == (200, "signed", None)
    assert UNVERIFIED not in gateway.get(f"{path}.txt", headers=clinician).text
    assert gateway.post(f"{path}/sign", json=body, headers=clinician).status_code == 409
    amended = gateway.post(f"{path}/amend", json={"content": result().model_dump(mode="json")}, headers=reader)
    assert (amended.json()["version"], amended.json()["banner"]) == (2, UNVERIFIED)
    assert UNVERIFIED in gateway.get(f"{path}.txt", headers=clinician).text
    assert UNVERIFIED not in gateway.get(f"{path}.txt", params={"version": 1}, headers=clinician).text


@pytest.mark.parametrize("scopes", [[scope] for scope in Scope if scope is not Scope.SIGN])
def test_a_key_without_the_scope_sign_is_refused(gateway, path, reader, key_for, scopes) -> None:
    body = prepared(gateway, path, reader)
    assert gateway.post(f"{path}/sign", json=body, headers=key_for("acme", *scopes)).status_code == 403
    assert gateway.get(path, headers=reader).json()["banner"] == UNVERIFIED


@pytest.mark.parametrize(
    "wrong", [{"accession_number": "ACC-1"}, {"content_hash": "0" * 64}, {"statement": "yes"}, {"force": True}]
)
def test_a_wrong_signature_is_refused(gateway, path, reader, key_for, wrong) -> None:
    body = prepared(gateway, path, reader)
    answer = gateway.post(f"{path}/sign", json={**body, **wrong}, headers=key_for("acme", Scope.SIGN))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert gateway.get(path, headers=reader).json()["state"] == "reviewed"


def test_another_tenant_and_a_key_that_only_submits_see_nothing(gateway, path, key_for) -> None:
    assert gateway.get(path, headers=key_for("other", Scope.READ)).status_code == 404
    assert gateway.get(path, headers=key_for("acme", Scope.SUBMIT)).status_code == 403
