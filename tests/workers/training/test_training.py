"""A training from a labelled set to a registered revision: what is kept of it, and how it goes on after an end."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from domain.errors import Conflict, InvalidRequest, ModelError, Unavailable
from storage import revisions
from storage.session import connect, read
from storage.settings import Settings
from tests.workers.training import toy_learner
from workers.training import training
from workers.training.learners.learner import Options
from workers.training.runs import Left
from workers.training.sets.hashing import data_hash
from workers.training.sets.lines import read as read_lines
from workers.training.sets.splitting import Division
from workers.training.train_cli import mount
from workers.training.training import Order, Trained, train

pytestmark = pytest.mark.model


@pytest.fixture(autouse=True)
def _a_line_is_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "family", lambda name: toy_learner)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Twelve pictures of six parts."""
    (tmp_path / "set").mkdir()
    told = [{"image": f"{at}.png", "label": "ab"[at % 2], "group": f"part {at // 2}"} for at in range(12)]
    for line in told:
        Image.new("RGB", (2, 2)).save(tmp_path / "set" / line["image"])
    file = tmp_path / "set" / "labels.jsonl"
    file.write_text("\n".join(map(json.dumps, told)))
    return file


def order(dataset: Path, **changes: object) -> Order:
    told = {"family": "line", "dataset": dataset, "name": "liner", "minutes": 1 / 300, "command": "sightline train"}
    return Order(**{**told, **changes})  # type: ignore[arg-type]


def trained(asked: Order, settings: Settings, **more: object) -> Trained:
    run = settings.data / "training" / asked.name
    quiet = {"report": lambda progress: None, "stop": lambda: None}
    return train(asked, settings, run, **{**quiet, **more})[0]  # type: ignore[arg-type]


def test_what_came_of_it_is_a_revision_with_all_that_tells_how(dataset: Path, settings: Settings) -> None:
    asked = order(dataset, options=Options(seed=3), division=Division(0.2, 0.2), parent="earlier@sha256:12")

    outcome = trained(asked, settings)

    facts = outcome.revision.facts
    known = read(connect(settings.database_url), revisions.exactly, "liner", outcome.revision.revision)
    assert known.facts == facts
    assert (facts.seed, facts.command, facts.parent) == (3, "sightline train", "earlier@sha256:12")
    assert facts.data_hash == data_hash(read_lines(dataset))
    assert facts.split["by"] == "group, as the set tells it"
    assert facts.split["groups"] == {"train": 4, "validation": 1, "held-out": 1}
    assert facts.metrics == {"fit": outcome.fitted.best.measures["fit"]}, "what is of nothing is no figure"
    assert facts.options == {"templates": ["a {}"]}
    assert "cores" in facts.hardware
    folder = settings.data / "models" / "liner" / outcome.revision.revision.removeprefix("sha256:")
    assert {file.name for file in folder.iterdir()} == {"line.safetensors", "curves.png", "revision.json"}
    with Image.open(folder / "curves.png") as curves:
        assert curves.size == (1200, 504)
    assert not (settings.data / "training" / "liner").exists()


def test_ctrl_c_leaves_what_was_learnt_and_the_same_command_goes_on(
    dataset: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _commands(monkeypatch)
    monkeypatch.setattr(toy_learner.LineLearner, "interrupt_after", 5)
    words = ["line", str(dataset), "--name", "liner", "--minutes", "0.01", "--held-out", "0"]
    words += ["--data", str(settings.data), "--json"]

    stopped = CliRunner().invoke(app, words)

    assert stopped.exit_code == 130
    assert "the same command goes on from there" in stopped.stderr
    kept = settings.data / "training" / "liner" / "checkpoint.pt"
    assert kept.exists()
    monkeypatch.setattr(toy_learner.LineLearner, "interrupt_after", None)
    begun: list[int] = []
    batches = toy_learner.LineLearner.batches

    def noting(self: toy_learner.LineLearner, seed: int):  # type: ignore[no-untyped-def]
        begun.append(seed)
        return batches(self, seed)

    monkeypatch.setattr(toy_learner.LineLearner, "batches", noting)

    ended = CliRunner().invoke(app, words)

    assert ended.exit_code == 0, ended.output
    assert begun == [5], "it began anew"
    told = json.loads(ended.stdout)
    assert told["revision"].startswith("sha256:")
    assert told["held_out"] is None
    assert 'source = "registered:liner"' in told["profile_row"]
    assert 'options = {templates = ["a {}"]}' in told["profile_row"]
    assert not kept.exists()


def test_another_training_does_not_go_on_from_what_one_left(dataset: Path, settings: Settings) -> None:
    with pytest.raises(ModelError):
        trained(order(dataset), settings, stop=_fails)

    with pytest.raises(Conflict, match=r"this one is another \(minutes, split\)"):
        trained(order(dataset, minutes=1 / 200, division=Division(seed=2)), settings)
    assert trained(order(dataset, minutes=1 / 200), settings, left=Left.DROP).revision.name == "liner"


def test_in_a_folder_of_its_own_a_training_whose_set_was_mended_begins_anew(dataset: Path, settings: Settings) -> None:
    with pytest.raises(ModelError):
        trained(order(dataset), settings, stop=_fails)
    dataset.write_text(dataset.read_text().replace('"label": "b"', '"label": "c"'))

    assert trained(order(dataset), settings, left=Left.OWN).revision.name == "liner"


def test_a_training_that_ended_while_it_was_being_measured_is_measured_and_not_trained_again(
    dataset: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given one whose process left while its outcome was measured
    with pytest.raises(ModelError):
        trained(order(dataset), settings, judge=lambda ended: _fails())
    # when it is asked for again
    monkeypatch.setattr(toy_learner.LineLearner, "loss", lambda self, batch: pytest.fail("it was trained again"))
    judged: list[Trained] = []
    again = trained(order(dataset), settings, judge=judged.append)
    # then it is measured, is one revision, and leaves nothing behind
    assert judged == [again]
    assert len(read(connect(settings.database_url), revisions.listing, "liner")) == 1
    assert not (settings.data / "training" / "liner").exists()


def _fails() -> None:
    raise ModelError("the machine is out of luck")


def test_another_set_to_measure_on_is_read_before_anything_is_trained(
    dataset: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "fit", lambda *told: pytest.fail("it was trained"))
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"source": "a line", "target": "eine Zeile", "from": "en", "to": "de"}))

    with pytest.raises(InvalidRequest, match=r"texts.jsonl is a set of translation, and what is learnt can classify"):
        trained(order(dataset, held_out=texts), settings)


def test_a_disk_that_is_full_costs_no_training_its_way_on(
    dataset: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given one that ended with a checkpoint, and no room for another word
    with pytest.raises(ModelError):
        trained(order(dataset), settings, judge=lambda ended: _fails())
    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", lambda *told: pytest.fail("what is there is written anew"))
        with pytest.raises(ModelError):
            trained(order(dataset), settings, judge=lambda ended: _fails())
    # when its folder holds half a word after all
    (settings.data / "training" / "liner" / "asked.json").write_text('{"fam')
    # then it can be begun anew
    assert trained(order(dataset), settings, left=Left.DROP).revision.name == "liner"


@pytest.mark.parametrize("name", ["../models", "/tmp/liner", "", ".", "Liner", "a/b"])
def test_a_name_that_is_a_path_touches_nothing(
    name: str, dataset: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["line", str(dataset), "--name", name, "--anew", "--data", str(settings.data)]

    result = CliRunner().invoke(_commands(monkeypatch), asked)

    assert isinstance(result.exception, InvalidRequest)
    assert "lower-case letters" in str(result.exception)
    assert not settings.data.exists()


def test_one_name_is_trained_by_one_process_at_a_time(dataset: Path, settings: Settings) -> None:
    def another() -> None:
        trained(order(dataset), settings)

    with pytest.raises(Unavailable, match="liner is being trained by another process"):
        trained(order(dataset), settings, stop=another)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "No Name"}, "name"),
        ({"options": Options(more={"lora": "8"})}, "lora"),
        ({"division": Division(by=r"^(\d\d\d)")}, "tells no group"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(
    changes: dict[str, object], words: str, dataset: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "fit", lambda *told: pytest.fail("it was trained"))

    with pytest.raises(InvalidRequest, match=words):
        trained(order(dataset, **changes), settings)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--held-out", "2"], "is no share"),
        (["--held-out", "nowhere"], "nowhere is neither"),
        (["--option", "lora"], "takes KEY=VALUE"),
        (["--device", "tpu9"], "no device 'tpu9'"),
        (["--from", "unheard-of"], "'unheard-of' is no file of weights"),
    ],
)
def test_what_is_wrong_with_the_command_is_told(
    words: list[str], told: str, dataset: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["line", str(dataset), "--name", "liner", "--data", str(settings.data), *words]

    result = CliRunner().invoke(_commands(monkeypatch), asked)

    assert told in str(result.exception)


def _commands(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    import typer

    monkeypatch.setattr("workers.training.train_cli.families", lambda: ["line", "other"])
    app = typer.Typer()
    mount(app)
    return app
