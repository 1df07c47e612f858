"""The commands draw, train and measure, and say in one line what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workers.training.cli import app

runner = CliRunner()


def test_a_folder_that_is_no_data_set_ends_in_one_line(tmp_path: Path) -> None:
    result = runner.invoke(app, ["yolo", str(tmp_path), "--name", "x"])

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "annotations.json" in result.stderr


def test_importing_the_commands_imports_nothing_heavy() -> None:
    script = "import sys, workers.training.cli; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert "'workers.training.cli'" in done.stdout
    assert not any(f"'{name}'" in done.stdout for name in ("torch", "numpy", "cv2"))


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_detector_is_drawn_for_trained_measured_and_served(tmp_path: Path) -> None:
    drawn = runner.invoke(app, ["draw", "surfaces", str(tmp_path / "set"), "--count", "8", "--size", "64", "--json"])
    assert drawn.exit_code == 0, drawn.stderr
    assert json.loads(drawn.stdout)["pictures"] == 8

    out = tmp_path / "weights" / "tiny.pt"
    options = ["--minutes", "0.1", "--side", "64", "--batch", "4", "--out", str(out), "--json"]
    trained = runner.invoke(app, ["yolo", str(tmp_path / "set"), "--name", "tiny", *options])
    assert trained.exit_code == 0, trained.stderr
    facts = json.loads(trained.stdout)["trained"]
    assert facts["pictures"] >= 4
    assert facts["revision"].startswith("sha256:")
    assert out.stat().st_size < 8_000_000

    measured = runner.invoke(app, ["evaluate", str(out), str(tmp_path / "set"), "--json"])
    assert measured.exit_code == 0, measured.stderr
    scores = json.loads(measured.stdout)
    assert scores["pictures"] == 8
    assert 0 <= scores["mask_map50"] <= 1


@pytest.mark.model
@pytest.mark.parametrize(
    ("options", "words"),
    [(["--side", "100"], "multiple of 32"), (["--architecture", "none-seg.yaml"], "no architecture 'none-seg.yaml'")],
)
def test_a_training_that_cannot_be_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    runner.invoke(app, ["draw", "surfaces", str(tmp_path / "set"), "--count", "1", "--size", "32"])

    result = runner.invoke(
        app, ["yolo", str(tmp_path / "set"), "--name", "x", "--out", str(tmp_path / "x.pt"), *options]
    )

    assert result.exit_code == 1
    assert words in result.stderr
