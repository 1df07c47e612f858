"""The family `yolo` as it learns: what it builds of a set, and that its loss falls and its checkpoint is served."""

import shutil
from pathlib import Path

import pytest
import torch

from domain.errors import InvalidRequest, ModelUnavailable
from tests.workers.training.learners.boxes import CLASSES, SIDE, boxes
from tests.workers.training.learners.sets import taught
from workers.hub import digest
from workers.models import family
from workers.models.yolo import _network
from workers.registry import ModelSpec
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
