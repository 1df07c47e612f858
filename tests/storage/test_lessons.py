"""What people decided, written as a labelled set and read by what trains on such sets."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from domain.audit import Actor
from domain.errors import InvalidRequest
from domain.images import ImageLimits
from storage.image_store import ImageStore
from storage.images import examine, keep
from storage.lessons import Exported, export
from tests.gateway.sending import inspected, picture
from tests.support.life import TENANT
from tests.support.reviewing import Desk, reviewer

ANN = Actor(name="ann", tenant=TENANT)
RIGHT = {"verdict": "ACCEPT", "defects": []}


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


@pytest.fixture
def store(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    """An image store that has the picture of every job."""
    store, data = ImageStore(str(tmp_path / "store")), picture(1)
    ref = keep(desk.engine, store, TENANT, data, examine(data, ImageLimits(), "picture"))
    monkeypatch.setattr("tests.support.life.SHA256", ref.sha256)
    monkeypatch.setattr("tests.support.life.Life.own_image", lambda life, tenant=TENANT, sha256=None: ref.sha256)
    return store


def body(defects: int) -> dict:
    quality = {"image": 0, "measures": {"sharpness": 1, "brightness": 0.5, "contrast": 0.1}, "passed": True}
    return {**inspected(defects), "quality": [quality]}


def test_confirmed_and_corrected_results_become_boxes_and_masks(desk: Desk, store: ImageStore, tmp_path: Path):
    desk.decide(reviewer("ann"), desk.waiting(body=body(2)), "approve")
    desk.decide(reviewer("ann"), desk.waiting(body=body(1)), "correct", correction=RIGHT)
    desk.decide(reviewer("ann"), desk.waiting(body=body(1)), "reject")
    desk.waiting(body=body(1))

    done = export(desk.engine, store, ANN, "inspection", tmp_path / "set")

    assert done == Exported(jobs=2, pictures=2, boxes=2, labels=0)
    told = json.loads((tmp_path / "set" / "annotations.json").read_text())
    assert [each["name"] for each in told["categories"]] == ["pit"]
    assert {each["bbox"] == [20, 10, 30, 30] for each in told["annotations"]} == {True}
    assert told["annotations"][0]["segmentation"]["size"] == [64, 96]
    assert len({each["group"] for each in told["images"]}) == 2
    for each in told["images"]:
        assert (tmp_path / "set" / "images" / each["file_name"]).read_bytes() == picture(1)


def test_the_last_word_counts(desk: Desk, store: ImageStore, tmp_path: Path):
    from storage import reviews
    from storage.session import write

    job_id = desk.decide(reviewer("ann"), desk.waiting(body=body(1)), "reject").job_id
    appeal = write(desk.engine, reviews.appeal, reviewer("maker"), job_id, "look again")
    desk.decide(reviewer("bob"), appeal.id, "overturn", correction=RIGHT)
    assert export(desk.engine, store, ANN, "inspection", tmp_path / "set").boxes == 0


def test_what_is_for_few_eyes_is_not_written(desk: Desk, store: ImageStore, tmp_path: Path):
    from domain.access import Scope

    few = reviewer("eve", Scope.REVIEW, Scope.RESTRICTED)
    desk.decide(few, desk.waiting(body=body(1), restricted=True), "approve")
    with pytest.raises(InvalidRequest, match="nobody has confirmed"):
        export(desk.engine, store, ANN, "inspection", tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_folder_that_exists_and_an_application_that_teaches_nothing_are_refused(desk, store, tmp_path: Path):
    with pytest.raises(InvalidRequest, match="exists already"):
        export(desk.engine, store, ANN, "inspection", tmp_path)
    with pytest.raises(InvalidRequest, match="nothing that a model learns from"):
        export(desk.engine, store, ANN, "signs", tmp_path / "set")


def test_the_set_is_one_that_trainings_read(desk: Desk, store: ImageStore, tmp_path: Path):
    from workers.training.sets.find import find

    desk.decide(reviewer("ann"), desk.waiting(body=body(2)), "approve")
    desk.decide(reviewer("ann"), desk.waiting(body=body(1)), "correct", correction=RIGHT)
    export(desk.engine, store, ANN, "inspection", tmp_path / "set")
    labelled = find(tmp_path / "set")
    assert (len(labelled.items()), labelled.names()) == (2, frozenset({"pit"}))
    assert len({item.group for item in labelled.items()}) == 2


def test_an_approved_failure_is_no_confirmed_result(desk: Desk, store: ImageStore, tmp_path: Path):
    from domain.jobs import JobState
    from domain.reviews import ReviewNeed
    from storage import reviews
    from storage.reviews import Asked
    from storage.session import read, write
    from tests.support.life import Life, failed

    life = Life(desk.engine)
    worker = life.worker()
    job = life.running(worker)
    life.commit(worker, failed(job, JobState.DEAD))
    need = ReviewNeed(queue="failures", reasons=("model-error",))
    write(desk.engine, reviews.ask, [Asked(job.id, TENANT, "inspection", need)])
    [item] = read(desk.engine, reviews.listing, reviewer())
    desk.decide(reviewer("ann"), item.id, "approve")
    with pytest.raises(InvalidRequest, match="nobody has confirmed"):
        export(desk.engine, store, ANN, "inspection", tmp_path / "set")


def test_a_picture_that_became_one_for_few_eyes_is_not_written(desk: Desk, store: ImageStore, tmp_path: Path):
    desk.decide(reviewer("ann"), desk.waiting(body=body(1)), "approve")
    desk.waiting(restricted=True)  # the same picture, known to a restricted bank meanwhile
    with pytest.raises(InvalidRequest, match="nobody has confirmed"):
        export(desk.engine, store, ANN, "inspection", tmp_path / "set")
