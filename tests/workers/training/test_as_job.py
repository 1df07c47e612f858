"""A training job's set is one of the installation's: never a path, a link or a picture that leads out of it."""

import json
from pathlib import Path

import pytest
from PIL import Image

from domain.applications import application
from domain.applications.training.schema import TrainingParameters
from domain.errors import InvalidParameters, InvalidRequest
from workers.training.as_job import dataset_named


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    labelled(tmp_path / "datasets" / "cats", "a.png")
    return tmp_path / "datasets"


def labelled(folder: Path, image: str) -> None:
    folder.mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(folder / "a.png")
    (folder / "labels.jsonl").write_text(json.dumps({"image": image, "label": "a cat"}))


def test_a_set_is_found_by_its_name(datasets: Path) -> None:
    assert dataset_named("cats", datasets) == datasets / "cats"
    with pytest.raises(InvalidRequest, match=r"no set 'dogs' in .*; there are: cats"):
        dataset_named("dogs", datasets)


@pytest.mark.parametrize("name", ["../secrets", "/etc", "a/b", "..", ".", ".hidden", "cats\n"])
def test_a_path_is_no_name_of_a_set(name: str) -> None:
    with pytest.raises(InvalidParameters, match="dataset"):
        application("training").parse({"dataset": name, "name": "cats"})


def test_a_link_that_leads_out_is_refused(datasets: Path, tmp_path: Path) -> None:
    labelled(tmp_path / "elsewhere", "a.png")
    (datasets / "linked").symlink_to(tmp_path / "elsewhere")
    labelled(datasets / "sly", "b.png")
    (datasets / "sly" / "b.png").symlink_to(tmp_path / "elsewhere" / "a.png")

    for name in ("linked", "sly"):
        with pytest.raises(InvalidRequest, match="lies outside of"):
            dataset_named(name, datasets)


@pytest.mark.parametrize("image", ["../../elsewhere.png", "/etc/hostname"])
def test_a_set_that_names_a_picture_elsewhere_is_refused(image: str, datasets: Path) -> None:
    labelled(datasets / "sly", image)

    with pytest.raises(InvalidRequest, match="lies outside of"):
        dataset_named("sly", datasets)


def test_the_parameters_have_what_a_command_says() -> None:
    parsed = application("training").parse({"dataset": "cats", "name": "cats-2", "family": "yolo", "minutes": 5})

    assert isinstance(parsed, TrainingParameters)
    assert (parsed.minutes, parsed.held_out, parsed.start) == (5, 0.1, None)
