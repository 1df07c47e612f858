"""Promotions and candidates with real processes: a worker that serves goes on serving."""

from pathlib import Path
from uuid import UUID

import pytest

from domain.jobs import JobState
from storage import promotions, shadows
from storage.jobs import result
from storage.revisions import Revision
from storage.session import read, write
from storage.shadows import collected
from tests.contract.test_life import comes_to
from tests.support.brokers import BROKERS
from tests.support.drill import QUICK
from tests.support.revisions import WHY
from tests.support.system import TENANT, System, system
from tests.support.versioned import FAMILY, NAME, served, trained
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

SOON_S = 30.0
PROFILE = f"""
[defaults]
detect = "inspector"

[[models]]
name = "inspector"
family = "{FAMILY}"
capabilities = ["detect"]
source = "registered:{NAME}"
revision = "promoted"
licence = "none"
device = "cpu"
"""


def answered(one: System) -> tuple[UUID, str, set[str]]:
    """Let a job be done; return it, the revision that answered, and the labels of what it found."""
    [job] = one.submit(QUICK)
    comes_to(one, job, JobState.SUCCEEDED, SOON_S)
    told = read(one.engine, result, TENANT, job)
    [call] = told.model_calls
    return job, call.revision, {defect["label"] for defect in told.body["defects"]}


def test_a_running_worker_follows_a_promotion_and_a_rollback_and_asks_a_candidate(
    sqlite_url: str, tmp_path: Path
) -> None:
    with BROKERS["redis"](tmp_path) as there, system(sqlite_url, there.url, tmp_path, there.prefix) as one:
        # given a worker that serves what is promoted, and another revision
        first, second = served(one.settings, "pit"), trained(one.settings, "crack")
        profile = tmp_path / "models.toml"
        profile.write_text(PROFILE, "utf-8")
        one.extra["SIGHTLINE_MODELS"] = str(profile)
        one.start("dispatch")
        one.start("worker")
        assert answered(one)[1:] == (first.revision, {"pit"})
        # when the other is put into the shadow
        write(one.engine, shadows.cast, second, 1.0)
        # then it is asked what jobs ask, and answers none of them

        def beside() -> bool:
            assert answered(one)[1:] == (first.revision, {"pit"})
            return read(one.engine, collected, candidate=second, served=first).calls > 0

        eventually(beside, SOON_S, "the candidate is asked")
        # when it is promoted, and then rolled back
        # then the worker answers by it, and by the first again, without an end of its process
        write(one.engine, promotions.promote, second, WHY)
        eventually(lambda: _by(one, second, "crack"), SOON_S, "the promotion is followed")
        write(one.engine, promotions.rollback, NAME, WHY)
        eventually(lambda: _by(one, first, "pit"), SOON_S, "the rollback is followed")
        assert one.alive("worker")


def _by(one: System, revision: Revision, label: str) -> bool:
    return answered(one)[1:] == (revision.revision, {label})
