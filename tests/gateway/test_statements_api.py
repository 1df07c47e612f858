"""The statement of reasons over HTTP and by the command: of the newest result, and by whether a person decided."""

import json
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from typer.testing import CliRunner

from domain.access import Scope
from domain.applications.application import Case, Memory
from domain.applications.moderation.contract import APPLICATION
from domain.applications.moderation.result import ModerationResult
from domain.jobs import JobState
from domain.vision import Picture, Vision
from sightline import app
from tests.domain.applications.moderation.scripted import HEIGHT, WIDTH, ScriptedVision, policy
from tests.gateway.sending import make_key, picture, send
from tests.support.life import Life, failed, succeeded
from tests.support.reviewing import Desk, reviewer

pytestmark = pytest.mark.service

GROUND = {
    "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
    "category": "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
    "reference": "Terms, section 3",
    "explanation": "Weapons are not to be shown.",
}
WANTED = {"puid": "so-1", "applied_on": "2026-03-02"}
Moderated = Callable[..., str]


def moderation(share: float, *, asks: bool = False, four_eyes: bool = False) -> ModerationResult:
    """Hold a post of the first of March to a policy on weapons, as a picture that shows a sword with that share."""
    told = policy(routes=[{"name": "all", "queue": "safety", "asks": asks, "four_eyes": four_eyes}])
    told["labels"]["weapon"]["ground"] = GROUND
    parameters = APPLICATION.parse({"policy": told, "content_date": "2026-03-01"})
    vision = cast("Vision", ScriptedVision(shares={"a sword": share}))
    return APPLICATION.run(Case(parameters, (Picture("0", WIDTH, HEIGHT),), vision, cast("Memory", None)))


@pytest.fixture
def moderated(client: TestClient, engine: Engine) -> Moderated:
    """Send a picture and end its job with a result; return the job's id."""
    seeds = iter(range(100))

    def end(result: ModerationResult) -> str:
        job_id = send(client, {"application": "moderation"}, picture(next(seeds))).json()["id"]
        ended(engine, job_id, result)
        return str(job_id)

    return end


def ended(engine: Engine, job_id: str, result: ModerationResult) -> None:
    life = Life(engine)
    worker = life.worker()
    [claimed] = life.claim(worker, UUID(job_id))
    life.commit(
        worker, succeeded(claimed, body=result.model_dump(mode="json"), review=APPLICATION.review(result), findings=0)
    )


def decide(engine: Engine, client: TestClient, key_for: Callable[..., dict[str, str]], verb: str, **more: Any) -> None:
    """Decide the newest item that waits for the tenant."""
    [item, *_] = client.get("/v1/reviews", headers=key_for("acme", Scope.REVIEW)).json()["reviews"]
    Desk(engine).decide(reviewer("ann", tenant="acme"), UUID(item["id"]), verb, **more)


def stated(client: TestClient, job_id: str, **more: object) -> Any:
    return client.get(f"/v1/jobs/{job_id}/statement", params={**WANTED, **more})


def test_a_block_is_stated_as_the_database_takes_it(client: TestClient, moderated: Moderated) -> None:
    answer = stated(client, moderated(moderation(0.9)), territory=["FR", "DE"], source="SOURCE_ARTICLE_16")

    assert answer.status_code == 200
    told = answer.json()
    assert "It was noticed by its likeness to words in picture 1, with a score of 0.90" in told.pop("decision_facts")
    assert told == {
        "decision_visibility": ["DECISION_VISIBILITY_CONTENT_DISABLED"],
        "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "incompatible_content_ground": "Terms, section 3",
        "incompatible_content_explanation": "Weapons are not to be shown.",
        "content_type": ["CONTENT_TYPE_IMAGE"],
        "category": "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
        "territorial_scope": ["DE", "FR"],
        "content_date": "2026-03-01",
        "application_date": "2026-03-02",
        "source_type": "SOURCE_ARTICLE_16",
        "automated_detection": "Yes",
        "automated_decision": "AUTOMATED_DECISION_FULLY",
        "puid": "so-1",
    }


def test_a_doubt_is_stated_once_a_person_has_corrected_it(client, engine, key_for, moderated: Moderated) -> None:
    # given content that waits for a person
    job_id = moderated(moderation(0.5))
    waits = stated(client, job_id)
    assert (waits.status_code, waits.json()["code"]) == (422, "invalid_request")
    assert "nobody has decided yet" in waits.json()["detail"]
    # when that person blocks it
    decide(engine, client, key_for, "correct", correction={"decision": "block", "label": "weapon"})
    # then the correction is stated, as a decision that was not a machine's alone
    told = stated(client, job_id).json()
    assert told["automated_decision"] == "AUTOMATED_DECISION_PARTIALLY"
    assert told["decision_facts"].startswith("A person decided after an automated check")


@pytest.mark.parametrize(
    ("verb", "automation"),
    [(None, "FULLY"), ("escalate", "FULLY"), ("approve", "PARTIALLY")],
)
def test_a_person_has_decided_once_the_item_is_settled(
    client, engine, key_for, moderated: Moderated, verb: str | None, automation: str
) -> None:
    job_id = moderated(moderation(0.9, asks=True))
    if verb:
        decide(engine, client, key_for, verb)
    assert stated(client, job_id).json()["automated_decision"] == f"AUTOMATED_DECISION_{automation}"


def test_the_first_of_two_people_has_not_decided(client, engine, key_for, moderated: Moderated) -> None:
    job_id = moderated(moderation(0.9, asks=True, four_eyes=True))
    for automation in ("FULLY", "PARTIALLY"):
        decide(engine, client, key_for, "approve")
        assert stated(client, job_id).json()["automated_decision"] == f"AUTOMATED_DECISION_{automation}"


def test_what_a_person_has_rejected_is_not_stated(client, engine, key_for, moderated: Moderated) -> None:
    job_id = moderated(moderation(0.9, asks=True))
    decide(engine, client, key_for, "reject")
    answer = stated(client, job_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_what_was_decided_of_a_failure_is_no_decision_of_the_later_result(client, engine, key_for) -> None:
    # given a job that died, which a person saw, and that was started anew
    job_id = send(client, {"application": "moderation"}, picture()).json()["id"]
    life = Life(engine)
    worker = life.worker()
    [claimed] = life.claim(worker, UUID(job_id))
    life.commit(worker, failed(claimed, JobState.DEAD))
    decide(engine, client, key_for, "reject")
    assert client.post(f"/v1/jobs/{job_id}/replay").status_code == 200
    # when it ends with a result
    ended(engine, job_id, moderation(0.9))
    # then that is the machine's own
    assert stated(client, job_id).json()["automated_decision"] == "AUTOMATED_DECISION_FULLY"


def test_what_is_restricted_is_stated_to_few(client, engine, key_for, moderated: Moderated) -> None:
    job_id = moderated(moderation(0.9))
    Life(engine).set(UUID(job_id), restricted=True)

    refused = stated(client, job_id)

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    few = key_for("acme", Scope.READ, Scope.RESTRICTED)
    assert client.get(f"/v1/jobs/{job_id}/statement", params=WANTED, headers=few).status_code == 200


def test_a_job_without_a_statement_says_why(client, key_for, moderated: Moderated) -> None:
    waiting = send(client, {"application": "moderation"}, picture()).json()["id"]
    blocked, allowed = moderated(moderation(0.9)), moderated(moderation(0.1))
    other = {"params": WANTED, "headers": key_for("rival", Scope.READ)}
    assert (stated(client, allowed).status_code, stated(client, waiting).status_code) == (422, 409)
    assert "nothing is restricted" in stated(client, allowed).json()["detail"]
    assert client.get(f"/v1/jobs/{blocked}/statement", **other).status_code == 404
    for wrong in ({"puid": "so 1"}, {"territory": "Germany"}, {"source": "ELSEWHERE"}, {"applied_on": "today"}):
        assert stated(client, blocked, **wrong).status_code == 422, wrong


def test_an_application_that_restricts_nothing_states_nothing(client, engine) -> None:
    job_id = send(client, {"application": "inspection"}, picture()).json()["id"]
    life = Life(engine)
    worker = life.worker()
    life.commit(worker, *(succeeded(claimed) for claimed in life.claim(worker, UUID(job_id))))

    answer = stated(client, job_id)

    assert (answer.status_code, "restricts nothing" in answer.json()["detail"]) == (422, True)


def test_the_command_prints_the_statement(
    address: str, client: TestClient, engine: Engine, moderated: Moderated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_URL", address)
    monkeypatch.setenv("SIGHTLINE_KEY", make_key(engine, "acme", Scope.READ))
    words = ["jobs", "statement", moderated(moderation(0.9)), "--puid", "so-1", "--applied-on", "2026-03-02"]

    done = CliRunner().invoke(app, [*words, "--territory", "DE", "--territory", "AT"], catch_exceptions=False)

    told = json.loads(done.stdout)
    assert (told["puid"], told["application_date"], told["territorial_scope"]) == ("so-1", "2026-03-02", ["AT", "DE"])
    assert told["source_type"] == "SOURCE_VOLUNTARY"
