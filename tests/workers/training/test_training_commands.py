"""The commands draw, train and measure, and say in one line what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from domain.errors import InvalidRequest
from workers.training.cli import app

runner = CliRunner()


def test_a_folder_that_is_no_data_set_ends_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sightline", "train", "yolo", str(tmp_path), "--name", "x", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("sightline: ")
    assert done.stderr.count("\n") == 1
    assert "annotations.json" in done.stderr


def test_importing_the_commands_imports_nothing_heavy() -> None:
    script = "import sys, workers.training.cli; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert "'workers.training.cli'" in done.stdout
    assert not any(f"'{name}'" in done.stdout for name in ("torch", "numpy", "cv2"))


def test_each_family_that_learns_has_its_command() -> None:
    told = runner.invoke(app, ["--help"]).output

    assert all(family in told for family in ("yolo", "detection", "dual_encoder", "chat_vlm", "vqa_head", "seq2seq"))


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_detector_is_drawn_for_trained_measured_and_trained_on(tmp_path: Path) -> None:
    drawn = runner.invoke(app, ["draw", "surfaces", str(tmp_path / "set"), "--count", "9", "--size", "64", "--json"])
    assert drawn.exit_code == 0, drawn.stderr
    assert json.loads(drawn.stdout)["pictures"] == 9

    options = ["--minutes", "0.02", "--side", "64", "--batch", "4", "--json", "--data", str(tmp_path / "data")]
    trained = runner.invoke(app, ["yolo", str(tmp_path / "set"), "--name", "tiny", *options])
    assert trained.exit_code == 0, trained.stderr
    told = json.loads(trained.stdout)
    assert told["revision"].startswith("sha256:")
    assert told["held_out"]["count"] == told["split"]["items"]["held-out"] == 1
    assert {file.suffix for file in Path(told["folder"]).iterdir()} == {".pt", ".png", ".json"}

    further = [*options, "--from", "tiny", "--held-out", str(tmp_path / "set"), "--seed", "1"]
    trained_on = runner.invoke(app, ["yolo", str(tmp_path / "set"), "--name", "further", *further])
    assert trained_on.exit_code == 0, trained_on.stderr
    facts = json.loads((Path(json.loads(trained_on.stdout)["folder"]) / "revision.json").read_text())
    assert facts["parent"] == f"tiny@{told['revision']}"
    assert json.loads(trained_on.stdout)["held_out"]["count"] == 9


@pytest.mark.model
@pytest.mark.parametrize(
    ("options", "words"),
    [(["--side", "100"], "multiple of 32"), (["--architecture", "none-seg.yaml"], "no architecture 'none-seg.yaml'")],
)
def test_a_training_that_cannot_be_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    runner.invoke(app, ["draw", "surfaces", str(tmp_path / "set"), "--count", "3", "--size", "32"])

    result = runner.invoke(app, ["yolo", str(tmp_path / "set"), "--name", "x", "--data", str(tmp_path), *options])

    assert isinstance(result.exception, InvalidRequest)
    assert words in result.exception.message
