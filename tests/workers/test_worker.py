"""What a worker process does before it serves."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.errors import StorageUnavailable
from storage.settings import Settings
from tests.support.life import Life
from tests.support.system import DRILL
from workers import worker
from workers.notes import Notes


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The budgets of the workers that a test starts; they serve nothing."""
    found: list[int] = []

    class Serving:
        def __init__(self, *parts: object, **named: object) -> None:
            found.append(parts[-1].residency.devices["cpu"].memory.budget)

        def serve(self) -> None:
            """Nothing is served."""

    monkeypatch.setattr(worker, "_Worker", Serving)
    monkeypatch.setattr(worker, "log_as_json", lambda: None)
    return found


def test_a_workers_models_have_the_budget_that_its_limit_allows(tmp_path: Path, budgets: list[int]) -> None:
    # given a worker that may hold 1000 MB, and is told to give its models more
    # when it starts
    worker.run_worker(Settings(data=tmp_path, models=str(DRILL), memory_mb=6144, process_memory_mb=1000), [])
    # then they get what leaves room beneath that limit
    assert budgets == [700 * 1024**2]


def test_a_worker_tells_at_its_start_which_settings_do_not_go_together(
    tmp_path: Path, budgets: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    # given a lease that is too short for both of its neighbours
    settings = Settings(data=tmp_path, models=str(DRILL), lease_seconds=30, stall_limit_s=30)
    # when a worker starts
    worker.run_worker(settings, [])
    # then it says so and goes on
    told = [record.getMessage() for record in caplog.records if record.event == "settings.doubtful"]
    assert told == settings.doubts()
    assert len(told) == 2
    assert len(budgets) == 1


def starts_and_dies(engine: Engine, path: Path) -> None:
    """Bury the predecessor, and die before there is a lease."""
    notes = Notes(path)
    try:
        worker._bury_predecessor(engine, notes)
    finally:
        notes._map.close()
        notes._file.close()


def test_a_dead_workers_notes_are_told_once(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a worker that dies with a job on the device
    life, path = Life(engine), tmp_path / "notes"
    dead = life.worker()
    job = life.running(dead)
    notes = Notes(path)
    notes.begin(dead)
    with notes.noting([job.id]):
        path.with_name("left").write_bytes(path.read_bytes())
    notes.close()
    path.with_name("left").replace(path)
    # when its successor cannot tell of it
    monkeypatch.setattr(worker, "write", away)
    with pytest.raises(StorageUnavailable):
        starts_and_dies(engine, path)
    monkeypatch.undo()
    # then the next one does, and the job is suspected
    starts_and_dies(engine, path)
    assert (life.state(job.id), life.row(job.id).suspect) == ("queued", True)
    # and one that comes after it, since that one died while it loaded its models, has nothing to tell
    life.set(job.id, suspect=False)
    starts_and_dies(engine, path)
    assert not life.row(job.id).suspect


def away(*_: object, **__: object) -> int:
    raise StorageUnavailable("gone")
