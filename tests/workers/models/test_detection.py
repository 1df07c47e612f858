"""The family `detection`: each architecture at toy size, with random weights."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessor,
    DFineConfig,
    DFineForObjectDetection,
    HGNetV2Config,
    ResNetConfig,
    RfDetrConfig,
    RfDetrDinov2Config,
    RfDetrForObjectDetection,
    RfDetrImageProcessor,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    TimmBackboneConfig,
)

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability, Detection
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import coloured
from tests.workers.models.toys import saved
from workers.models import family
from workers.models.family import Ask, Model, Pixels, ScoreKind, Told
from workers.registry import ModelSpec

pytestmark = pytest.mark.model

TOLERANCE = 1e-3
SIDE = 64
NAMES = {"id2label": {0: "cat", 1: "dog", 2: "red car"}, "label2id": {"cat": 0, "dog": 1, "red car": 2}}


def detections(answer: Any) -> tuple[Detection, ...]:
    """Return an answer without its remarks."""
    return answer.value if isinstance(answer, Told) else answer


class DetectionContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "detection"
    capabilities = (Capability.DETECT,)
    sizes: ClassVar[tuple[tuple[int, int], ...]] = ((40, 64), (64, 40), (33, 33), (120, 50))
    """height and width of pictures that share a batch"""
    score_kind: ClassVar[ScoreKind] = ScoreKind.SIGMOID

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        return [self.ask_of(coloured(*size, seed)) for seed, size in enumerate(self.sizes)]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract. With random weights every score is low: all are wanted."""
        return self._asked(pixels, 0.0)

    def _asked(self, pixels: Pixels, min_score: float) -> Ask:
        return Ask(Capability.DETECT, (pixels,), {"min_score": min_score})

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        found = detections(answer)
        height, width = ask.pictures[0].shape[:2]
        assert found
        assert all(isinstance(one, Detection) for one in found)
        assert {one.label for one in found} <= {"cat", "dog", "red car"}
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        assert all(one.score >= ask.arguments["min_score"] for one in found)
        assert all(one.box.area > 0 and one.box.clipped(width, height) == one.box for one in found)

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        first, second = detections(one), detections(other)
        return len(first) == len(second) and all(map(self._alike, first, second))

    def _alike(self, a: Detection, b: Detection) -> bool:
        side = max(a.box.x1, a.box.y1, 1)
        near = all(abs(x - y) < TOLERANCE * side for x, y in zip(a.box.xyxy, b.box.xyxy, strict=True))
        return a.label == b.label and abs(a.score - b.score) < TOLERANCE and near

    def test_pictures_are_told_apart(self, model: Model) -> None:
        answers = model.run([model.prepare(ask) for ask in self.asks()])

        assert not any(self.same(answers[0], other) for other in answers[1:])

    def test_it_says_its_classes_and_its_kind_of_score(self, model: Model) -> None:
        assert model.classes == ("cat", "dog", "red car")
        assert model.scores == self.score_kind

    def test_each_call_of_a_batch_has_its_own_least_score(self, model: Model) -> None:
        # given the scores of a picture
        pixels = coloured(*self.sizes[0], 0)
        (everything,) = model.run([model.prepare(self._asked(pixels, 0.0))])
        scores = [one.score for one in detections(everything)]
        middle = (scores[0] + scores[-1]) / 2

        # when it is asked about with three least scores in a batch
        prepared = [model.prepare(self._asked(pixels, least)) for least in (0.0, middle, 1.0)]
        some = [detections(answer) for answer in model.run(prepared)]

        # then each gets what reaches its own
        assert len({one.group for one in prepared}) == 1
        assert [len(found) for found in some] == [len(scores), sum(score >= middle for score in scores), 0]
        assert 0 < len(some[1]) < len(scores)

    def test_output_that_is_no_number_is_an_error(self) -> None:
        broken = self.fresh()
        for parameter in broken.network.parameters():  # type: ignore[attr-defined]
            parameter.fill_(math.nan)

        with pytest.raises(ModelError, match="not finite"):
            broken.run([broken.prepare(self.asks()[0])])

    def test_a_score_that_is_none_is_refused(self, model: Model) -> None:
        with pytest.raises(ModelError, match="min_score"):
            model.prepare(self._asked(coloured(9, 9, 0), 1.5))

    def test_boxes_are_of_the_pictures_own_size(self, model: Model) -> None:
        # given a picture, and the same with every pixel four times
        height, width = self.sizes[0]
        flat = np.full((height, width, 3), 90, dtype=np.uint8)
        larger = np.full((2 * height, 2 * width, 3), 90, dtype=np.uint8)

        # when both are looked at
        small, big = (detections(model.run([model.prepare(self.ask_of(one))])[0]) for one in (flat, larger))

        # then the boxes of the larger one are twice as large
        assert len(small) == len(big)
        for one, other in zip(small, big, strict=True):
            doubled = one.model_copy(update={"box": type(one.box)(**{k: 2 * v for k, v in dict(one.box).items()})})
            assert self._alike(doubled, other)


class EachClassByItself:
    """For architectures whose scores are sigmoids."""

    def test_a_temperature_divides_the_logits(self, model: Model, spec: ModelSpec) -> None:
        ask = DetectionContract().asks()[0]
        cool = family.load(spec.model_copy(update={"options": {"threads": 1, "temperature": 4.0}}))

        plain, even = (detections(one.run([one.prepare(ask)])[0])[0].score for one in (model, cool))

        assert math.log(even / (1 - even)) == pytest.approx(math.log(plain / (1 - plain)) / 4, abs=1e-3)


def rt_detr_parts() -> dict[str, Any]:
    """Return what RT-DETR's two versions and D-FINE have in common, at toy size."""
    return {
        "encoder_hidden_dim": 32,
        "encoder_in_channels": [16, 32, 32],
        "encoder_ffn_dim": 32,
        "encoder_attention_heads": 2,
        "d_model": 32,
        "decoder_in_channels": [32, 32, 32],
        "decoder_ffn_dim": 32,
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        "num_queries": 12,
        "initializer_range": 0.3,
        **NAMES,
    }


def resnet_of_rt_detr() -> RTDetrResNetConfig:
    return RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 16, 32, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


def squares(kind: Any) -> Any:
    """Return an image processor that squeezes each picture into a square, as these architectures' published ones do."""
    return kind(size={"height": SIDE, "width": SIDE}, do_pad=False)


class TestRtDetr(EachClassByItself, DetectionContract):
    architecture = "RT-DETR"

    def build(self, folder: Path) -> None:
        config = RTDetrConfig(backbone_config=resnet_of_rt_detr(), **rt_detr_parts())
        saved(folder, lambda: RTDetrForObjectDetection(config), squares(RTDetrImageProcessor))


class TestRtDetrV2(EachClassByItself, DetectionContract):
    architecture = "RT-DETR v2"

    def build(self, folder: Path) -> None:
        config = RTDetrV2Config(backbone_config=resnet_of_rt_detr(), **rt_detr_parts())
        saved(folder, lambda: RTDetrV2ForObjectDetection(config), squares(RTDetrImageProcessor))


class TestDFine(EachClassByItself, DetectionContract):
    architecture = "D-FINE"

    def build(self, folder: Path) -> None:
        backbone = HGNetV2Config(
            stem_channels=[3, 8, 8],
            stage_in_channels=[8, 16, 16, 32],
            stage_mid_channels=[8, 8, 16, 16],
            stage_out_channels=[16, 16, 32, 32],
            stage_num_blocks=[1, 1, 1, 1],
            stage_numb_of_layers=[1, 1, 1, 1],
            hidden_sizes=[16, 16, 32, 32],
            depths=[1, 1, 1, 1],
            embedding_size=8,
            out_features=["stage2", "stage3", "stage4"],
        )
        config = DFineConfig(backbone_config=backbone, decoder_n_points=[2, 2, 2], lqe_hidden_dim=16, **rt_detr_parts())
        saved(folder, lambda: DFineForObjectDetection(config), squares(RTDetrImageProcessor))


class TestRfDetr(EachClassByItself, DetectionContract):
    architecture = "RF-DETR"

    def build(self, folder: Path) -> None:
        backbone = RfDetrDinov2Config(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            mlp_ratio=2,
            image_size=SIDE,
            patch_size=8,
            num_windows=2,
            out_features=["stage1", "stage2"],
        )
        config = RfDetrConfig(
            backbone_config=backbone,
            d_model=32,
            decoder_ffn_dim=32,
            decoder_layers=2,
            decoder_self_attention_heads=2,
            decoder_cross_attention_heads=4,
            c2f_num_blocks=1,
            num_queries=12,
            group_detr=2,
            init_std=0.3,
            **NAMES,
        )
        saved(folder, lambda: RfDetrForObjectDetection(config), squares(RfDetrImageProcessor))


DETR: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 1, "encoder_ffn_dim": 32, "encoder_attention_heads": 2,
    "decoder_layers": 1, "decoder_ffn_dim": 32, "decoder_attention_heads": 2,
    "num_queries": 12, "init_std": 0.3, **NAMES,
}  # fmt: skip


class TestDetr(DetectionContract):
    architecture = "DETR"
    # Its processor keeps the aspect: what shares a batch has the same.
    sizes = ((40, 64), (80, 128), (20, 32), (60, 96))
    score_kind = ScoreKind.SOFTMAX

    def build(self, folder: Path) -> None:
        backbone = ResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 16, 32, 32],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage4"],
        )
        config = DetrConfig(backbone_config=backbone, **DETR)
        saved(folder, lambda: DetrForObjectDetection(config), self.images())

    @staticmethod
    def images() -> DetrImageProcessor:
        return DetrImageProcessor(size={"shortest_edge": SIDE, "longest_edge": 2 * SIDE})

    def test_pictures_of_other_shapes_do_not_share_a_batch(self, model: Model) -> None:
        shapes = [(40, 64), (64, 40), (40, 41)]

        groups = {model.prepare(self.ask_of(coloured(*shape, 0))).group for shape in shapes}

        assert len(groups) == len(shapes)

    def test_a_line_of_a_hundred_thousand_pixels_is_answered_and_boxed_all_along(self, model: Model) -> None:
        ask = self.ask_of(coloured(1, 100_000, 0))

        (answer,) = model.run([model.prepare(ask)])

        self.check(ask, answer)
        assert max(one.box.x1 for one in detections(answer)) > 10_000

    @pytest.mark.parametrize("temperature", [0, -1, float("nan"), "warm", None])
    def test_a_temperature_that_divides_nothing_is_refused(self, spec: ModelSpec, temperature: Any) -> None:
        with pytest.raises(ModelUnavailable, match="temperature"):
            family.load(spec.model_copy(update={"options": {"temperature": temperature}}))


class TestDetrOfTimm(DetectionContract):
    """DETR's first checkpoints, whose backbone is timm's."""

    architecture = "DETR with timm's ResNet"
    sizes = TestDetr.sizes
    score_kind = ScoreKind.SOFTMAX

    def build(self, folder: Path) -> None:
        backbone = TimmBackboneConfig(backbone="resnet18", out_indices=[1, 2, 3, 4])
        config = DetrConfig(backbone_config=backbone, **DETR)
        saved(folder, lambda: DetrForObjectDetection(config), TestDetr.images())
        # They say so in their own way, and name weights of a hub that their own are to replace.
        told = json.loads((folder / "config.json").read_text())
        del told["backbone_config"]
        told |= {"use_timm_backbone": True, "backbone": "resnet18", "use_pretrained_backbone": True}
        (folder / "config.json").write_text(json.dumps(told))
