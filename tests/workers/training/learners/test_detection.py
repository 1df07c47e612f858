"""The family `detection` as it learns: small RT-DETR v2 and D-FINE, whose loss falls and whose checkpoint is served."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from domain.errors import InvalidRequest
from tests.workers.models.test_detection import TestRtDetrV2 as RtDetrV2
from tests.workers.training.learners.boxes import CLASSES, boxes
from tests.workers.training.learners.sets import taught
from workers.hub import digest
from workers.models import family
from workers.registry import ModelSpec
from workers.training.learners.detection import DetectionLearner, learner
from workers.training.learners.learner import Options

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]


def classes_served(made: DetectionLearner, folder: Path) -> tuple[str, ...]:
    folder.mkdir()
    made.save(folder)
    spec = ModelSpec(
        name="taught",
        family="detection",
        capabilities=made.capabilities,
        source=str(folder),
        revision=digest(folder),
        licence=made.licence,
    )
    return family.load(spec).classes


@pytest.mark.parametrize("architecture", ["rt_detr_v2", "d_fine"])
def test_a_detector_from_random_weights_learns_and_is_served(architecture: str, tmp_path: Path) -> None:
    made = learner(boxes(tmp_path / "set"), Options(architecture=architecture, side=96, batch=4))

    losses = taught(made, 6, rate=1e-3)
    with torch.inference_mode():
        measured = made.measure()

    assert sum(losses[3:]) < sum(losses[:3])
    assert set(measured) == {"AP50", "AP", "precision", "recall"}
    assert classes_served(made, tmp_path / "made") == CLASSES


def test_a_checkpoint_is_learnt_on_with_classes_of_its_own_and_a_gentle_backbone(tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    RtDetrV2().build(tmp_path / "start")

    made = learner(boxes(tmp_path / "set"), Options(start=tmp_path / "start", batch=2))

    assert made.rates == {"model.backbone": 0.1}
    assert any(name.startswith("model.backbone") for name, _ in made.network.named_parameters())
    step = made.loss(next(made.batches(0)))
    assert torch.isfinite(step.loss)
    assert set(step.parts) == {"loss_vfl", "loss_bbox", "loss_giou"}
    assert classes_served(made, tmp_path / "made") == CLASSES


def test_crowds_are_not_learnt(tmp_path: Path) -> None:
    parts = boxes(tmp_path / "set")
    crowds = tuple(one.model_copy(update={"iscrowd": True}) for one in parts.train.content.annotations)
    crowded = replace(parts.train, content=parts.train.content.model_copy(update={"annotations": crowds}))

    made = learner(replace(parts, train=crowded), Options(architecture="rt_detr_v2", side=96, batch=2))

    assert [len(one["boxes"]) for one in next(made.batches(0)).labels] == [0, 0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(), "begins with the folder of a checkpoint"),
        (Options(start=Path("a"), architecture="d_fine"), "begins with the folder of a checkpoint"),
        (Options(start=Path("a"), side=320), "leave the side out"),
        (Options(architecture="d_fine", side=64), "fewer places than objects"),
        (Options(architecture="d_fine", side=100), "multiple of 32"),
        (Options(architecture="resnet"), "none of rt_detr_v2, d_fine"),
    ],
)
def test_what_cannot_be_begun_is_refused(options: Options, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=words):
        learner(boxes(tmp_path), options)
