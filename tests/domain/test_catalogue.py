"""Applications are found by scanning, and what they ship is complete."""

import json
from pathlib import Path

import pytest

from domain.applications import application, applications
from domain.applications import catalogue as catalogue_module
from domain.applications.application import samples
from domain.errors import UnknownApplication

FOLDERS = sorted(path.parent.name for path in Path(catalogue_module.__file__).parent.glob("*/contract.py"))
SAMPLES = [
    pytest.param(name, path, id=f"{name}-{path.stem}")
    for name in FOLDERS
    for path in sorted((Path(catalogue_module.__file__).parent / name / "samples").glob("*.json"))
]


def test_every_folder_with_a_contract_is_an_application_of_that_name() -> None:
    assert list(applications()) == FOLDERS
    assert "inspection" in applications()
    assert all(application(name).name == name for name in FOLDERS)


def test_an_unknown_application_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UnknownApplication, match=r"no application 'inspektion'; there are: .*inspection") as raised:
        application("inspektion")
    assert raised.value.details == {"application": "inspektion"}


@pytest.mark.parametrize("name", [name for name in FOLDERS if application(name).max_images])
def test_an_application_that_looks_at_images_ships_a_recognisable_set_of_samples(name: str) -> None:
    shipped = samples(application(name))
    assert shipped
    assert all(sample.expect for sample in shipped)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_parameter_has_a_default_and_the_schemas_can_be_written_down(name: str) -> None:
    chosen = application(name)
    chosen.parse({})
    assert json.dumps(chosen.parameters.model_json_schema())
    assert json.dumps(chosen.result.model_json_schema())


@pytest.mark.parametrize(("name", "path"), SAMPLES)
def test_a_sample_has_its_images_and_parameters_that_parse(name: str, path: Path) -> None:
    told = json.loads(path.read_text("utf-8"))
    chosen = application(name)
    chosen.parse(told.get("parameters", {}))
    assert chosen.min_images <= len(told["images"]) <= chosen.max_images
    for image in told["images"]:
        file = path.parent / image
        assert file.is_file()
        assert file.stat().st_size < 150_000
