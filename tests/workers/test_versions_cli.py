"""`sightline models revisions | promote | rollback | compare | shadow`, as typed by a user."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from domain.errors import Conflict, InvalidRequest, ModelUnavailable, NotFound, SightlineError
from storage import revisions
from storage.revisions import Revision
from storage.session import write
from storage.settings import Settings
from storage.shadows import ShadowAnswer, ShadowLoss, collect
from tests.support.revisions import facts, measured
from workers.models_cli import app
from workers.registered import home
from workers.training.registering import register

NAME = "boards"
Models = Callable[..., str]


@pytest.fixture
def models(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Models:
    """Run `sightline models …` in an installation of its own; what Sightline raises is raised."""
    monkeypatch.setenv("SIGHTLINE_DATA", str(settings.data))
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("COLUMNS", "240")

    def run(*told: str) -> str:
        ran = CliRunner().invoke(app, [*told])
        if isinstance(ran.exception, SightlineError):
            raise ran.exception
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    return run


def trained(settings: Settings, weights: str) -> Revision:
    folder = Path(settings.data) / "runs" / weights
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(weights, "utf-8")
    return register(settings, folder, facts(NAME))


def evaluated(engine: Engine, settings: Settings, weights: str, **metrics: float) -> Revision:
    revision = trained(settings, weights)
    write(engine, revisions.attach, revision, measured(metrics or {"map50": 0.9}))
    return revision


def digits(revision: Revision) -> str:
    return revision.revision.removeprefix("sha256:")[:6]


def states(models: Models) -> dict[str, str]:
    return {told["revision"]: told["state"] for told in json.loads(models("revisions", NAME, "--json"))}


def test_revisions_are_promoted_rolled_back_and_told(models: Models, engine: Engine, settings: Settings) -> None:
    # given three revisions, of which two were measured
    one, two = (evaluated(engine, settings, weights) for weights in ("one", "two"))
    new = trained(settings, "new")
    # when both that were measured are promoted by a few digits, and the second is put into the shadow after a rollback
    models("promote", NAME, digits(one))
    done = json.loads(models("promote", NAME, digits(two), "--because", "it finds more", "--by", "ada", "--json"))
    assert (done["by"], done["because"], done["before"]) == ("ada", "it finds more", one.revision)
    assert states(models) == {one.revision: "before", two.revision: "promoted", new.revision: "new"}
    back = json.loads(models("rollback", NAME, "--json"))
    models("shadow", NAME, digits(two), "--share", "0.25")
    # then the states say so, and the table shows them with since when
    assert (back["kind"], back["revision"]) == ("rollback", one.revision)
    assert states(models) == {one.revision: "promoted", two.revision: "shadow", new.revision: "new"}
    table = models("revisions")
    assert "shadow 25.0%" in table
    assert "map50 0.900" in table
    assert "map50 0.500 (validation)" in table
    # and a shadow that is ended leaves what it was before
    models("shadow", NAME, "--off")
    assert states(models)[two.revision] == "evaluated"


def test_what_may_not_be_promoted_is_refused_with_what_to_do(
    models: Models, engine: Engine, settings: Settings
) -> None:
    # given a revision of which nothing was measured, one whose files were changed, and one whose files are gone
    new = trained(settings, "new")
    changed, gone = (evaluated(engine, settings, weights) for weights in ("changed", "gone"))
    (home(settings.data, NAME, changed.revision) / "model.safetensors").write_text("other", "utf-8")
    home(settings.data, NAME, gone.revision).rename(settings.data / "away")
    # when each is to be promoted, and one that does not exist
    # then each is refused in its own words
    for revision, error, said in (
        (digits(new), Conflict, f"sightline eval {NAME}@{new.revision} DATASET"),
        (digits(changed), Conflict, "its files were changed"),
        (digits(gone), ModelUnavailable, "not on this machine"),
        ("zz", NotFound, f"sightline models revisions {NAME}"),
    ):
        with pytest.raises(error, match=said):
            models("promote", NAME, revision)
    with pytest.raises(Conflict, match="no way back"):
        models("rollback", NAME)
    assert "promoted" not in states(models).values()


@pytest.mark.parametrize("told", [("shadow", NAME), ("shadow", NAME, "aa", "--off")])
def test_a_shadow_is_begun_or_ended(models: Models, told: tuple[str, ...]) -> None:
    # when neither or both is asked for
    # then it is refused
    with pytest.raises(InvalidRequest, match="--off"):
        models(*told)


def test_two_revisions_are_compared_on_the_data_that_both_were_measured_on(
    models: Models, engine: Engine, settings: Settings
) -> None:
    # given two revisions measured on one set, the first one twice, and on one of their own
    a, b = evaluated(engine, settings, "a", map50=0.1), evaluated(engine, settings, "b", map50=0.9, recall=0.7)
    write(engine, revisions.attach, a, measured({"map50": 0.8, "precision": 0.6}))
    write(engine, revisions.attach, b, measured({"map50": 0.2}, data_hash="sha256:other"))
    # when they are compared
    found = json.loads(models("compare", NAME, digits(a), digits(b), "--json"))
    # then the newest figures on the set that both saw stand side by side
    [side] = found["measured"]
    assert (side["data_hash"], side["a"]["map50"], side["b"]["map50"]) == ("sha256:held-out", 0.8, 0.9)
    assert side["differences"] == {"map50": pytest.approx(0.1)}
    assert found["shadow"]["calls"] == 0
    assert "+0.1000" in models("compare", NAME, digits(a), digits(b))


def test_figures_at_different_settings_are_not_compared(models: Models, engine: Engine, settings: Settings) -> None:
    # given two revisions of which one was measured at an IoU of its own
    a, b = trained(settings, "a"), trained(settings, "b")

    def measure(revision: Revision, recall: float, **told: float) -> None:
        report = {"settings": {"iou": 0.5, **told}}
        figures = measured({"recall": recall}).model_copy(update={"report": report})
        write(engine, revisions.attach, revision, figures)

    measure(a, 0.6, calibration_lines=7)
    measure(b, 0.9, iou=0.33)

    def compared() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = json.loads(models("compare", NAME, digits(a), digits(b), "--json"))["measured"]
        return told

    # when they are compared, then nothing is, until both were measured alike; how often it was sure is no setting
    assert compared() == []
    assert "no set was both measured on alike" in models("compare", NAME, digits(a), digits(b))
    measure(b, 0.7, calibration_lines=8)
    [side] = compared()
    assert (side["settings"], side["differences"]) == ({"iou": 0.5}, {"recall": pytest.approx(0.1)})
    # and each settings have a row of their own
    measure(a, 0.95, iou=0.33)
    assert [one["settings"]["iou"] for one in compared()] == [0.5, 0.33]
    assert "iou 0.33:" in models("compare", NAME, digits(a), digits(b))


def test_what_the_shadow_collected_is_compared_too(models: Models, engine: Engine, settings: Settings) -> None:
    # given a candidate that answered two calls, one of them otherwise, and lost three
    a, b = evaluated(engine, settings, "a"), evaluated(engine, settings, "b")
    models("promote", NAME, digits(a))
    told: dict[str, Any] = {"name": NAME, "revision": b.revision, "served": a.revision, "capability": "detect"}
    times = {"batch_size": 1, "served_ms": 10.0, "candidate_ms": 15.0}
    alike = ShadowAnswer(**told, **times, job_id=uuid4(), agreement=1.0, answers={})
    differs = alike._replace(job_id=uuid4(), agreement=0.0, answers={"served": ["pit"], "candidate": ["dent"]})
    write(engine, collect, [alike, differs], [ShadowLoss(NAME, b.revision, "dropped", 3)])
    # when it is compared with the promoted one
    said = models("compare", NAME, "promoted", digits(b))
    # then the shares, the ratio, what was lost and what differs are told
    for part in ("asked 2 times", "3 dropped", "50.0%", "1.50 over 2 calls", str(differs.job_id), "pit", "dent"):
        assert part in said


def test_an_installation_that_never_ran_has_no_revisions(tmp_path: Path, models: Models) -> None:
    # given a folder that is not there yet
    # when its revisions are asked for
    # then there are none, and the database is made
    assert json.loads(models("revisions", "--data", str(tmp_path / "fresh"), "--json")) == []


def test_a_profiles_registered_row_is_listed_with_whether_it_can_be_served(
    models: Models, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    # given a profile that serves what is promoted
    profile = tmp_path / "models.toml"
    profile.write_text(
        f'[[models]]\nname = "inspector"\nfamily = "yolo"\ncapabilities = ["detect"]\nsource = "registered:{NAME}"\n'
        'revision = "promoted"\nlicence = "none"\n'
    )
    revision = evaluated(engine, settings, "one")

    def state() -> str:
        [row] = json.loads(models("list", "--profile", str(profile), "--json"))
        return str(row["state"])

    # when it is listed before and after a promotion
    before = state()
    models("promote", NAME, digits(revision))
    # then it says so
    assert (before, state()) == ("none promoted", "here")
