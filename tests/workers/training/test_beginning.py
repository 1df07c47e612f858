"""What a training begins with: the checkpoint that is named, else the embedded pack's model of its family."""

from pathlib import Path

import pytest

from storage.settings import Settings
from workers.registry import load_profile
from workers.training.beginning import Beginning, beginning

ROWS = {row.family: row for row in load_profile("embedded").profile.models if row.source.startswith("embedded:")}


@pytest.mark.parametrize("models", ["embedded", "gpu"])
@pytest.mark.parametrize("family", sorted(set(ROWS) - {"yolo"}))
def test_a_family_begins_with_its_model_of_the_pack_whatever_profile_is_served(
    family: str, models: str, tmp_path: Path
) -> None:
    row = ROWS[family]

    begun = beginning(None, family, Settings(data=tmp_path, models=models))

    assert (begun.path, begun.told) == (row.path, f"{row.name}@{row.revision}")


def test_nothing_of_the_pack_is_begun_with_where_it_has_none_or_random_weights_are_asked_for(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)

    assert beginning(None, "vqa_head", settings) == Beginning()
    assert beginning(None, "dual_encoder", settings, architecture="clip") == Beginning()
    assert beginning(None, "yolo", settings) == Beginning()  # its learner knows


def test_a_translator_inherits_its_languages_but_not_whom_it_trusts(tmp_path: Path) -> None:
    begun = beginning(None, "seq2seq", Settings(data=tmp_path))

    assert begun.row["pairs"] == ROWS["seq2seq"].options["pairs"]
    assert "trust" not in begun.row  # the words that it will have been taught are others
