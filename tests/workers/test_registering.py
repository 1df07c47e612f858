"""A finished checkpoint becomes a revision: moved to its place whole, and noted once."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.errors import InvalidRequest, ModelUnavailable
from storage import revisions
from storage.session import read
from storage.settings import Settings
from tests.support.revisions import facts
from workers.hub import RECORD, digest
from workers.registered import home, located, row_of
from workers.training.registering import register


def finished(folder: Path, weights: str = "weights", **files: str) -> Path:
    """Write a folder as a training leaves it."""
    folder.mkdir(parents=True)
    for name, text in {"model.safetensors": weights, "config.json": "{}", **files}.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def yolo(folder: Path, weights: str = "weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "boards.pt").write_text(weights, "utf-8")
    return folder


def test_a_checkpoint_is_moved_to_where_its_digits_say_and_noted(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    # given a finished checkpoint with its curves
    folder = finished(tmp_path / "run", **{"curves.png": "png"})
    digits = digest(folder)[:23]
    # when it is registered
    revision = register(settings, folder, facts())
    # then it lies in its place with all that the run left, and is known
    place = settings.data / "models" / "boards" / digits.removeprefix("sha256:")
    assert (revision.revision, revision.facts) == (digits, facts())
    assert {file.name for file in place.iterdir()} == {"model.safetensors", "config.json", "curves.png", RECORD}
    assert not folder.exists()
    assert read(engine, revisions.listing) == [revision]


def test_the_record_says_how_it_came_to_be_and_does_not_change_what_pins_it(settings: Settings, tmp_path: Path) -> None:
    # given a registered checkpoint
    revision = register(settings, finished(tmp_path / "run"), facts(seed=7))
    place = home(settings.data, "boards", revision.revision)
    # when its record is read, and its folder digested
    told = json.loads((place / RECORD).read_text("utf-8"))
    # then the one has the facts, and the other is what it was
    assert (told["revision"], told["seed"], told["data_hash"]) == (revision.revision, 7, "sha256:data")
    assert digest(place).startswith(revision.revision)


def test_the_same_files_are_the_same_revision(engine: Engine, settings: Settings, tmp_path: Path) -> None:
    # given a registered checkpoint
    first = register(settings, finished(tmp_path / "one"), facts())
    # when the same weights come out of another run
    again = register(settings, finished(tmp_path / "other"), facts(seed=7))
    # then nothing is added, and the first run's facts stay
    assert again == first
    assert len(read(engine, revisions.listing)) == 1


def test_a_training_that_died_before_its_row_was_written_registers_again(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    # given a folder in its place, and no row for it, as after a crash between the two
    away = Settings(data=settings.data, database_url=f"sqlite:///{tmp_path}/away.db")
    noted = register(away, finished(tmp_path / "one"), facts())
    # when the same is registered
    revision = register(settings, finished(tmp_path / "other"), facts())
    # then its row is there
    assert revision.revision == noted.revision
    assert read(engine, revisions.listing) == [revision]


def test_a_yolo_file_is_pinned_by_its_own_bytes(settings: Settings, tmp_path: Path) -> None:
    # given a folder with a .pt file
    folder = yolo(tmp_path / "run")
    pins = digest(folder / "boards.pt")
    # when it is registered
    revision = register(settings, folder, facts())
    # then its revision is the file's digest, and a row that serves it names the file
    assert pins.startswith(revision.revision)
    spec = row_of(revision, settings.data)
    assert (spec.path.name, spec.revision, spec.options) == ("boards.pt", revision.revision, {})


@pytest.mark.parametrize("files", [(), ("a.pt", "b.pt"), ("a.pt", "model.safetensors"), ("readme.md",)])
def test_a_folder_that_is_no_one_checkpoint_is_refused(
    settings: Settings, tmp_path: Path, files: tuple[str, ...]
) -> None:
    # given a folder with no weights, or with two kinds of them
    folder = tmp_path / "run"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("x", "utf-8")
    # when it is registered
    # then it is refused, and stays where it is
    with pytest.raises(InvalidRequest, match="is to hold"):
        register(settings, folder, facts())
    assert folder.is_dir()


def test_files_that_took_a_revisions_place_are_not_noted_as_it(settings: Settings, tmp_path: Path) -> None:
    # given a registered checkpoint whose weights were changed since
    revision = register(settings, finished(tmp_path / "one"), facts())
    place = home(settings.data, "boards", revision.revision)
    (place / "model.safetensors").write_text("other", "utf-8")
    # when the true ones are registered
    # then it is refused, with the folder that is in the way
    with pytest.raises(InvalidRequest, match=str(place)):
        register(settings, finished(tmp_path / "other"), facts())


def test_a_checkpoint_on_another_disk_is_copied_and_then_gone(settings: Settings, tmp_path: Path) -> None:
    # given a finished checkpoint on a disk in memory
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    folder = finished(memory / f"sightline-{tmp_path.name}-{settings.data.parent.stat().st_ino}")
    # when it is registered
    revision = register(settings, folder, facts())
    # then it is in its place, alone, and gone from where it was
    place = home(settings.data, "boards", revision.revision)
    assert digest(place).startswith(revision.revision)
    assert [each.name for each in place.parent.iterdir()] == [place.name]
    assert not folder.exists()


def test_what_is_not_promoted_or_not_here_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    # given a registered revision
    revision = register(settings, finished(tmp_path / "run"), facts())
    spec = row_of(revision, settings.data).model_copy(update={"source": "registered:boards", "revision": "promoted"})
    # when a row that means what is promoted is to be loaded while nothing is
    # then it names the command that promotes
    with pytest.raises(ModelUnavailable, match="sightline models promote boards REVISION"):
        located(spec, settings.data, lambda name: None)
    # and one whose files are on another machine names the folder to copy
    with pytest.raises(ModelUnavailable, match=f"copy {tmp_path}/elsewhere/models/boards"):
        located(spec, tmp_path / "elsewhere", lambda name: revision.revision)
