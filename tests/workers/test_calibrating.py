"""A temperature is found again where it is known, and changes no order."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domain.errors import InvalidRequest
from tests.workers.models.contract import coloured
from tests.workers.models.test_dual_encoder import TestClip as Clip
from tests.workers.test_models_cli import models, written
from workers.calibrating import fit


def drawn(temperature: float, *, alone: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of a model that is as sure as its logits say times the temperature, and what was right."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (6_000, 4))
    if alone:
        true = 1 / (1 + np.exp(-logits[:, :1]))
        right = (random.random((6_000, 1)) >= true).astype(int)[:, 0]  # label 0 with its probability, else another
        pair = np.concatenate([logits[:, :1], -logits[:, :1]], axis=1)
        return 1 / (1 + np.exp(-pair * temperature)), right
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = np.array([random.choice(4, p=row) for row in shares])
    sharper = np.exp(logits * temperature)
    return sharper / sharper.sum(axis=1, keepdims=True), right


@pytest.mark.parametrize("alone", [False, True], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature: float, alone: bool) -> None:
    scores, truth = drawn(temperature, alone=alone)
    fitted = fit(scores, truth, alone=alone)
    assert fitted.temperature == pytest.approx(temperature, rel=0.1)
    assert fitted.nll[1] <= fitted.nll[0]
    assert fitted.error[1] < 0.03
    if temperature == 3.0:
        assert fitted.error[0] > 0.1, "it was far too sure"


@pytest.mark.service
@pytest.mark.model
def test_a_models_temperature_is_fitted_and_written_into_the_profile(tmp_path: Path) -> None:
    # given a toy with random weights, and pictures with labels that it cannot know
    Clip().build(tmp_path / "toy")
    profile = written(tmp_path, str(tmp_path / "toy"))
    models("pin", "--profile", profile)
    lines = []
    for seed in range(12):
        Image.fromarray(coloured(40, 40, seed)).save(tmp_path / f"{seed}.png")
        lines.append(json.dumps({"image": f"{seed}.png", "label": ("a cat", "a dog")[seed % 2]}))
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text("\n".join(lines))
    # when it is calibrated
    told = models("calibrate", "toy", labelled, "--profile", profile, "--out", tmp_path / "warm.toml", "--json")
    # then the temperature stands in the new profile, and the model loads with it
    assert told.returncode == 0, told.stderr
    fitted = json.loads(told.stdout)
    assert fitted["pictures"] == 12
    assert f"temperature = {fitted['temperature']}" in (tmp_path / "warm.toml").read_text()
    assert models("check", "--profile", tmp_path / "warm.toml").returncode == 0


@pytest.mark.parametrize("text", ['{"image": 3}', "[]", '{"image": "a", "label": ""}', "{"])
def test_a_malformed_line_is_named(text: str, tmp_path: Path) -> None:
    from workers.calibrating import calibrate

    file = tmp_path / "labelled.jsonl"
    file.write_text(f"\n{text}\n")
    with pytest.raises(InvalidRequest, match=r"labelled\.jsonl, line 2"):
        calibrate(None, file, None)  # type: ignore[arg-type]
