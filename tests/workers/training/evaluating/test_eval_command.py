"""The command finds the model that is meant, prints its figures alone, and keeps them with a revision."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from domain.errors import InvalidRequest, NotFound
from domain.vision import Capability
from storage import revisions
from storage.revisions import Facts, Revision
from storage.session import read
from storage.settings import Settings, load_settings
from workers.database import opened
from workers.models import family
from workers.training.beginning import beginning
from workers.training.eval_cli import app
from workers.training.evaluating import report
from workers.training.evaluating.candidate import candidate
from workers.training.registering import register
from workers.training.sets.find import find
from workers.training.sets.hashing import data_hash as hashed
from workers.training.sets.splitting import Division, split

PROFILE = """
[[models]]
name = "bright"
family = "tests.workers.brightness"
capabilities = ["classify"]
source = "package:none"
revision = "sha256:abc"
licence = "none"
options = { sure = 2.0, temperature = 1.0 }
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "models.toml").write_text(PROFILE)
    monkeypatch.setenv("SIGHTLINE_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return load_settings()


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Three bright pictures and a dark one; one of the bright is called dark."""
    folder = tmp_path / "set"
    folder.mkdir()
    told = []
    for number, (grey, label) in enumerate([(200, "bright"), (220, "bright"), (40, "dark"), (240, "dark")]):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((8, 8, 3), grey, dtype=np.uint8))
        told.append(json.dumps({"image": f"{number}.png", "label": label}))
    (folder / "set.jsonl").write_text("\n".join(told))
    return folder / "set.jsonl"


def evaluated(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def registered(settings: Settings, folder: Path, data_hash: str = "sha256:0") -> Revision:
    """Register a training whose family is the one of the profile."""
    folder.mkdir()
    (folder / "weights.pt").write_bytes(b"none")
    facts = Facts(
        name="tiny",
        family="tests.workers.brightness",
        capabilities=(Capability.CLASSIFY,),
        licence="none",
        command="sightline train",
        seed=0,
        data_hash=data_hash,
        split={"division": {"validation": 0.25, "held_out": 0.25, "by": None, "seed": 3}},
        metrics={},
        duration_s=1,
        hardware="none",
        options={"sure": 2.0, "temperature": 1.0},
    )
    return register(settings, folder, facts)


def test_a_model_is_judged_and_its_figures_are_all_that_is_printed(settings: Settings, lines: Path) -> None:
    told = evaluated("bright", str(lines))

    assert (told["kind"], told["model"], told["revision"], told["count"]) == ("labels", "bright", "sha256:abc", 4)
    assert told["metrics"]["accuracy"] == 0.75
    assert told["data_hash"].startswith("sha256:")


def test_the_figures_of_a_revision_are_kept_with_it(settings: Settings, lines: Path, tmp_path: Path) -> None:
    revision = registered(settings, tmp_path / "trained")

    told = evaluated(f"tiny@{revision.revision[7:13]}", str(lines), "--only", "[012]")

    (kept,) = read(opened(settings), revisions.evaluations_of, revision)
    assert kept.metrics["accuracy"] == told["metrics"]["accuracy"] == 1
    assert kept.data_hash == told["data_hash"]
    assert kept.report["split"] == "items that match '[012]'"


def test_the_share_is_the_one_that_the_training_held_out(settings: Settings, lines: Path, tmp_path: Path) -> None:
    registered(settings, tmp_path / "trained")
    kept = split(find(lines), Division(0.25, 0.25, None, 3)).held_out
    assert kept is not None

    told = evaluated("tiny", str(lines), "--share", "held-out")

    assert (told["count"], told["data_hash"]) == (1, hashed(kept))
    assert "held-out share by picture" in told["split"]


def test_who_judges_on_what_was_trained_on_is_told(settings: Settings, lines: Path, tmp_path: Path) -> None:
    registered(settings, tmp_path / "trained", hashed(find(lines)))

    done = CliRunner().invoke(app, ["tiny", str(lines), "--json"], catch_exceptions=False)

    assert "tiny was trained on a part of this very set" in done.stderr
    assert json.loads(done.stdout)["count"] == 4


def test_a_name_of_a_training_means_its_newest_revision(settings: Settings, tmp_path: Path) -> None:
    revision = registered(settings, tmp_path / "trained")

    meant = candidate("tiny", settings)

    assert meant.registered == revision
    assert meant.spec.revision == revision.revision


def test_files_are_told_by_their_family(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"none")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.safetensors").write_bytes(b"none")

    assert candidate(str(tmp_path / "weights.pt"), settings).spec.family == "yolo"
    assert candidate(str(tmp_path / "folder"), settings, "vqa_head").spec.capabilities == (Capability.ASK,)
    with pytest.raises(InvalidRequest, match="say what it is with --family"):
        candidate(str(tmp_path / "folder"), settings)


def test_a_folder_hides_no_model_of_its_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a set, and weights, in folders that are called as a training and as a row of the profile
    revision = registered(settings, tmp_path / "trained")
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "bright", "boards"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "annotations.json").write_text("{}")
    (tmp_path / "tiny" / "model.safetensors").write_bytes(b"none")
    # when their names are said, then the models are meant, and the weights only where a path is written
    assert candidate("tiny", settings).registered == revision
    assert candidate("bright", settings).spec.revision == "sha256:abc"
    assert candidate("./tiny", settings, "vqa_head").registered is None
    # and a training that begins with one means the same
    assert beginning("tiny", "tests.workers.brightness", settings).told == f"tiny@{revision.revision}"
    assert str(beginning("./tiny", "vqa_head", settings).told).startswith("tiny@sha256:")
    # and a folder that holds no weights is no model
    with pytest.raises(NotFound, match="'boards' is no file of weights"):
        candidate("boards", settings)
    with pytest.raises(InvalidRequest, match=r"tiny is none; where a model is called so too, write \./tiny"):
        candidate("tiny", settings, "vqa_head")


def test_weights_beside_one_need_no_more_than_their_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").write_bytes(b"none")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.safetensors").write_bytes(b"none")

    assert candidate("weights.pt", settings).spec.family == "yolo"
    assert candidate("folder", settings, "vqa_head").spec.capabilities == (Capability.ASK,)


def test_what_the_set_lacks_is_told_before_a_model_is_loaded(
    settings: Settings, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family, "load", None)
    (lines.parent / "3.png").unlink()

    with pytest.raises(InvalidRequest, match=r"3\.png cannot be read"):
        evaluated("bright", str(lines))


def test_a_folder_that_cannot_be_written_is_told_before_a_model_is_loaded(
    settings: Settings, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family, "load", None)

    with pytest.raises(InvalidRequest, match=r"--out .*set\.jsonl: File exists; name a folder"):
        evaluated("bright", str(lines), "--out", str(lines))


def test_figures_are_printed_before_files_are_written(
    settings: Settings, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*told: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(report, "write", full)

    done = CliRunner().invoke(app, ["bright", str(lines), "--json", "--out", str(tmp_path / "out")])

    assert str(done.exception) == "no space left"
    assert json.loads(done.stdout)["count"] == 4


def test_names_with_brackets_are_printed_as_they_are(
    settings: Settings, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines.write_text(lines.read_text().replace('"dark"', '"crack [mm]"', 1).replace('"dark"', '"a [/b] c"'))

    done = CliRunner().invoke(app, ["bright", str(lines)], catch_exceptions=False)

    assert "crack [mm]" in done.stdout
    assert "a [/b] c" in done.stdout


def test_what_is_no_model_is_told_with_what_there_is(settings: Settings) -> None:
    with pytest.raises(NotFound, match=r"'nobody' is no file of weights, no model of the profile \(bright\)"):
        candidate("nobody", settings)
    with pytest.raises(InvalidRequest, match="the profile has bright at sha256:abc"):
        candidate("bright@sha256:def", settings)


def test_a_part_is_chosen_in_one_way(settings: Settings, lines: Path) -> None:
    with pytest.raises(InvalidRequest, match="give one of them"):
        evaluated("bright", str(lines), "--only", "1", "--share", "train")
