"""A draft policy tried on past jobs: what would have come out otherwise, and what cannot be told."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from domain.applications.moderation.contract import APPLICATION
from domain.audit import Actor
from domain.errors import InvalidRequest, NotFound
from storage import configurations
from storage.configurations import Name
from storage.session import read, write
from storage.trials import try_out
from tests.domain.applications.moderation.conftest import moderate  # noqa: F401  (a fixture)
from tests.domain.applications.moderation.scripted import PROMPTS, ScriptedVision, policy
from tests.support.life import TENANT, Life, succeeded

HOUSE = Name(tenant=TENANT, application="moderation", kind="policy", name="house")
ANN = Actor(name="ann", tenant=TENANT)


@pytest.fixture
def past(engine: Engine, moderate: Callable[..., Any]) -> Callable[..., Any]:  # noqa: F811
    """End a job of the policy `house`, version 1, with what the application says of such shares."""
    first = write(engine, configurations.add, HOUSE, policy(PROMPTS), ANN, "")
    life = Life(engine)
    worker = life.worker("moderation.standard")

    def end(share: float, **told: Any) -> Any:
        job = life.running(worker, application="moderation", params={"policy": "house"})
        result = moderate(ScriptedVision(shares={"a sword": share}), policy=policy(PROMPTS))
        used = result.policy.model_copy(update={"name": "house", "version": 1, "digest": first.digest, **told})
        body = result.model_copy(update={"policy": used}).model_dump(mode="json")
        life.commit(worker, succeeded(job, body=body, headline=APPLICATION.headline(result)))
        return job.id

    return end


def draft(engine: Engine, body: dict[str, Any]) -> int:
    return write(engine, configurations.add, HOUSE, body, ANN, "").version


def test_the_jobs_that_would_have_come_out_otherwise_are_listed(engine: Engine, past) -> None:
    past(0.9)
    doubtful, mild = past(0.6), past(0.1)
    version = draft(engine, policy(PROMPTS, act=0.5, review=0.05))
    found = read(engine, try_out, HOUSE, version)
    assert (found.tried, found.alike, found.untold) == (3, 1, [])
    assert {(one.job_id, one.before, one.after, one.version) for one in found.differences} == {
        (doubtful, "review: weapon", "block: weapon", 1),
        (mild, "allow", "review: weapon", 1),
    }


def test_jobs_that_cannot_be_told_are_listed_with_the_reason(engine: Engine, past) -> None:
    job_id = past(0.9)
    found = read(engine, try_out, HOUSE, draft(engine, policy({**PROMPTS, "prompts": ["a gun"]})))
    assert [(one.job_id, "other prompts" in one.why) for one in found.untold] == [(job_id, True)]


def test_only_the_newest_jobs_of_that_name_are_tried(engine: Engine, past) -> None:
    past(0.9)
    past(0.9, name="other")
    past(0.9, version=None)
    newest = [past(0.6) for _ in range(2)]
    found = read(engine, try_out, HOUSE, draft(engine, policy(PROMPTS, act=0.5)), 2)
    assert [one.job_id for one in found.differences] == newest[::-1]


def test_restricted_jobs_are_for_few_eyes_here_too(engine: Engine, past) -> None:
    Life(engine).set(past(0.6), restricted=True)
    version = draft(engine, policy(PROMPTS, act=0.5))
    assert read(engine, try_out, HOUSE, version).tried == 0
    assert read(engine, try_out, HOUSE, version, restricted=True).tried == 1


def test_unknown_versions_and_applications_without_hindsight_are_refused(engine: Engine, past) -> None:
    with pytest.raises(NotFound):
        read(engine, try_out, HOUSE, 7)
    with pytest.raises(NotFound, match="no version 1 of menu 'house'"):
        read(engine, try_out, HOUSE.model_copy(update={"kind": "menu"}), 1)
    with pytest.raises(InvalidRequest, match="not judged anew"):
        read(engine, try_out, HOUSE.model_copy(update={"application": "inspection"}), 1)


def test_a_job_whose_version_is_another_one_now_is_not_told(engine: Engine, past) -> None:
    past(0.6, digest="0" * 64)
    found = read(engine, try_out, HOUSE, draft(engine, policy(PROMPTS, act=0.5)))
    assert ["another one now" in one.why for one in found.untold] == [True]
