"""The family `yolo` as it learns: what it builds of a set, and that its loss falls and its checkpoint is served."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from domain.errors import InvalidRequest, ModelUnavailable
from tests.workers.training.learners.boxes import CLASSES, SIDE, boxes
from tests.workers.training.learners.sets import taught
from workers.hub import digest
from workers.models import family
from workers.models.yolo import _network
from workers.registry import ModelSpec
from workers.training.coco import Dataset
from workers.training.learners.learner import Options
from workers.training.learners.yolo import START, YoloLearner, learner, suited_side

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]


def served(made: YoloLearner, folder: Path) -> object:
    folder.mkdir()
    made.save(folder)
    place = folder / "model.pt"
    return family.load(
        ModelSpec(
            name="taught",
            family="yolo",
            capabilities=made.capabilities,
            source=str(place),
            revision=digest(place),
            licence=made.licence,
        )
    )


def changed(found: Dataset, **content: Any) -> Dataset:
    return replace(found, content=found.content.model_copy(update=content))


def test_what_it_learnt_is_served_and_training_goes_on_from_it(tmp_path: Path) -> None:
    parts = boxes(tmp_path / "set", masks=True)
    made = learner(parts, Options(side=64, batch=4))
    assert made.watched == "mask_AP50"

    losses = taught(made, 8)
    with torch.inference_mode():
        measured = made.measure()

    assert sum(losses[-3:]) < sum(losses[:3])
    assert set(measured) == {"mask_AP50", "mask_AP", "mask_precision", "mask_recall"}
    model = served(made, tmp_path / "made")
    assert model.classes == CLASSES  # type: ignore[attr-defined]
    assert model.preprocessing == "letterbox64/1"  # type: ignore[attr-defined]
    further = learner(parts, Options(side=64, start=tmp_path / "made" / "model.pt"))
    before, after = made.network.state_dict(), further.network.state_dict()
    assert all(torch.allclose(before[name].float(), after[name].float(), rtol=1e-2, atol=1e-3) for name in before)


def test_a_set_without_masks_makes_a_detector_that_begins_with_what_the_embedded_one_knows(tmp_path: Path) -> None:
    parts = boxes(tmp_path)

    made, anew = learner(parts, Options(side=64)), learner(parts, Options(side=64, architecture="yolo11n.yaml"))

    known = _network(START).float().state_dict()
    assert made.watched == "AP50"
    assert torch.equal(made.network.state_dict()["model.0.conv.weight"], known["model.0.conv.weight"])
    assert not torch.equal(anew.network.state_dict()["model.0.conv.weight"], known["model.0.conv.weight"])


def test_a_set_of_golden_references_is_learnt_as_pairs(tmp_path: Path) -> None:
    made = learner(boxes(tmp_path / "set", pairs=True), Options(side=64, batch=4))

    assert made.pairs is not None
    assert next(made.batches(0)).images.shape == (4, 3, 64, 64)
    model = served(made, tmp_path / "made")
    assert model.preprocessing.startswith("pairs")  # type: ignore[attr-defined]


def test_the_side_is_chosen_so_that_most_objects_are_seen(tmp_path: Path) -> None:
    large = boxes(tmp_path).train
    small = large.content.model_copy(
        update={"images": tuple(one.model_copy(update={"width": 2000}) for one in large.content.images)}
    )

    assert SIDE * 16 / 24 < 256
    assert suited_side(large) == 256
    assert suited_side(type(large)(large.folder, small)) == 640


def test_crowds_do_not_tell_the_side_and_are_not_learnt(tmp_path: Path) -> None:
    parts = boxes(tmp_path)
    crowds = tuple(
        one.model_copy(update={"bbox": (0, 0, 2, 2), "iscrowd": True, "id": 100 + one.id})
        for one in parts.train.content.annotations * 9
    )
    crowded = changed(parts.train, annotations=(*parts.train.content.annotations, *crowds))

    assert suited_side(crowded) == 256
    made = learner(replace(parts, train=crowded), Options(side=64, batch=4))
    assert len(next(made.batches(0)).labels) <= 8


def test_objects_too_small_to_be_learnt_at_a_side_are_told_with_one_that_would_do(tmp_path: Path) -> None:
    parts = boxes(tmp_path)
    tiny = tuple(one.model_copy(update={"bbox": (4, 4, 3, 3)}) for one in parts.train.content.annotations)
    small = replace(parts, train=changed(parts.train, annotations=tiny))

    with pytest.raises(InvalidRequest, match=r"10 of 10 objects are smaller than 12 pixels .* 64x64.*--side 128"):
        learner(small, Options(side=64))
    learner(small, Options(side=128))


def test_a_validation_share_without_an_object_is_refused_before_anything_is_learnt(tmp_path: Path) -> None:
    parts = boxes(tmp_path)
    crowds = tuple(one.model_copy(update={"iscrowd": True}) for one in parts.validation.content.annotations)

    with pytest.raises(InvalidRequest, match=r"none of the 2 pictures .* \(--validation\).* \(--split-seed\)"):
        learner(replace(parts, validation=changed(parts.validation, annotations=crowds)), Options(side=64))


def test_pictures_of_more_pixels_than_are_taken_are_refused(tmp_path: Path) -> None:
    parts = boxes(tmp_path)
    images = tuple(one.model_copy(update={"width": 10_000, "height": 9_000}) for one in parts.train.content.images)

    with pytest.raises(InvalidRequest, match=r"\.png is 10000x9000 pixels; at most 64000000"):
        learner(replace(parts, train=changed(parts.train, images=images)), Options(side=64))


def test_what_cannot_be_learnt_is_refused(tmp_path: Path) -> None:
    parts = boxes(tmp_path / "set")
    shutil.copy(__file__, tmp_path / "no.pt")

    with pytest.raises(InvalidRequest, match="multiple of 32"):
        learner(parts, Options(side=100))
    with pytest.raises(InvalidRequest, match=r"no architecture 'none\.yaml'"):
        learner(parts, Options(architecture="none.yaml"))
    with pytest.raises(ModelUnavailable, match="not a YOLO checkpoint"):
        learner(parts, Options(start=tmp_path / "no.pt"))
    with pytest.raises(InvalidRequest, match="lora"):
        learner(parts, Options(more={"lora": "8"}))
