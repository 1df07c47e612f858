"""The embedded pack: small enough to ship, each model with a card that tells of the files that are there."""

from pathlib import Path

import pytest

from workers.hub import digest
from workers.registry import EMBEDDED, ModelSpec, load_profile

MOST_BYTES = 60_000_000
ROWS = [spec for spec in load_profile("embedded").profile.models if spec.source.startswith("embedded:")]


def test_all_of_it_is_smaller_than_a_large_picture_book() -> None:
    assert sum(file.stat().st_size for file in EMBEDDED.rglob("*") if file.is_file()) < MOST_BYTES


def test_nothing_lies_there_that_no_row_serves() -> None:
    served = {spec.path for spec in ROWS}
    cards = {spec.path.with_suffix(".md") for spec in ROWS}
    assert set(EMBEDDED.iterdir()) == served | cards


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_card_tells_what_a_model_is_and_what_it_cannot_do(row: ModelSpec) -> None:
    card = row.path.with_suffix(".md").read_text("utf-8")
    digits = row.revision.removeprefix("sha256:")

    assert digest(row.path).startswith(row.revision)
    assert len(digits) >= 16
    assert f"`{digits}" in card
    for heading in ("## Data", "## Training", "## Scores", "## What it cannot do"):
        assert heading in card
    assert "sightline train" in card
    assert "sightline eval" in card


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_weights_are_kept_so_that_loading_them_runs_nothing(row: ModelSpec) -> None:
    files = [row.path] if row.path.is_file() else sorted(row.path.rglob("*"))
    kinds = {file.suffix for file in files if file.is_file()}
    assert kinds <= {".pt", ".safetensors", ".json", ".jinja", ".spm"}
    assert not kinds & {".bin", ".pkl", ".ckpt"}


def test_what_the_pack_holds_is_packaged() -> None:
    told = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    kinds = {file.suffix for file in EMBEDDED.rglob("*") if file.is_file()}
    assert all(f'"*{kind}"' in told for kind in kinds)
