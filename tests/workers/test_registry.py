"""models.toml, read into specs."""

from pathlib import Path

import pytest

from domain.errors import InvalidRequest
from domain.vision import Capability
from workers.registry import EMBEDDED, PROFILES, load_profile

MODEL = """
[[models]]
name = "{name}"
family = "{family}"
capabilities = {capabilities}
source = "{source}"
revision = "1"
licence = "Apache-2.0"
{more}
"""


def profile(folder: Path, *models: str, head: str = "") -> str:
    path = folder / "models.toml"
    path.write_text(head + "\n".join(models), "utf-8")
    return str(path)


def model(
    name: str = "m", family: str = "yolo", capabilities: str = '["detect"]', source: str = "x", more: str = ""
) -> str:
    return MODEL.format(name=name, family=family, capabilities=capabilities, source=source, more=more)


def test_a_model_is_found_by_name_and_by_default(tmp_path: Path) -> None:
    # given two models that detect, of which one is the default
    head = '[defaults]\ndetect = "b"\n'
    registry = load_profile(profile(tmp_path, model("a"), model("b"), head=head))
    # when they are looked up
    # then a name wins, the default answers, and what nobody can do is None
    assert [registry.find(Capability.DETECT, name) for name in ("a", None)] == list(registry.profile.models)
    assert registry.find(Capability.TRANSLATE) is None


@pytest.mark.parametrize("name", ["c", "a"])
def test_a_named_model_that_cannot_do_it_is_an_error(tmp_path: Path, name: str) -> None:
    # given a model that only detects
    registry = load_profile(profile(tmp_path, model("a")))
    # when it, or one that does not exist, is asked to read
    # then it is an error that names it
    with pytest.raises(InvalidRequest, match=f"'{name}'"):
        registry.find(Capability.READ, name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (model(more="colour = 1"), "colour"),
        (model(name="With Space"), "name"),
        (model(family="../evil"), "family"),
        (model(family="os.system; x"), "family"),
        (model(capabilities="[]"), "capabilities"),
        (model(capabilities='["fly"]'), "fly"),
        (model(more="max_batch = 0"), "max_batch"),
        (model(more="call_limit_s = 0"), "call_limit_s"),
        (model() + model(), "name of its own"),
        ('preload = ["x"]\n' + model(), "preload"),
        ('[defaults]\nread = "m"\n' + model(), "read"),
        ("models = [", "models.toml"),
    ],
)
def test_a_profile_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    # given a profile with a mistake
    # when it is read
    # then the error names the file and the field
    with pytest.raises(InvalidRequest, match=said) as refused:
        load_profile(profile(tmp_path, text))
    assert "models.toml" in refused.value.message


def test_a_profile_that_does_not_exist_says_which_do() -> None:
    # given a name of no profile
    # when it is read
    # then the ones that ship are named
    with pytest.raises(InvalidRequest, match="embedded"):
        load_profile("no-such-profile")


def test_one_limit_for_all_calls_overrides_each_models_own(tmp_path: Path) -> None:
    # given models with limits of their own
    path = profile(tmp_path, model("a", more="call_limit_s = 5"), model("b"))
    # when one limit is set
    registry = load_profile(path, call_limit_s=2.5)
    # then it is every model's
    assert {spec.call_limit_s for spec in registry.profile.models} == {2.5}
    assert {spec.call_limit_s for spec in load_profile(path).profile.models} == {5.0, 120.0}


def test_where_weights_lie(tmp_path: Path) -> None:
    # given sources of both kinds
    path = profile(tmp_path, model("a", source="embedded:w.pt"), model("b", source="/models/w.pt"))
    # when their paths are asked for
    # then the embedded ones lie in the package
    assert [spec.path for spec in load_profile(path).profile.models] == [EMBEDDED / "w.pt", Path("/models/w.pt")]


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_profile_reads_and_pins_its_models(path: Path) -> None:
    # given a profile that ships
    # when it is read
    registry = load_profile(path.stem)
    # then every model says which weights it means and under which licence
    assert registry.profile.models
    assert all(spec.revision and spec.revision != "main" and spec.licence for spec in registry.profile.models)
