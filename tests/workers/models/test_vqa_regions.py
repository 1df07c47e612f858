"""The family `vqa_head`: VisualBERT and LXMERT at toy size, with the regions of toy detectors."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessor,
    LxmertConfig,
    LxmertForQuestionAnswering,
    ResNetConfig,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    VisualBertConfig,
    VisualBertForQuestionAnswering,
)

from domain.errors import ModelUnavailable
from tests.workers.models.toys import saved, spec_of
from tests.workers.models.vqa_contract import NAMES, SIDE, TINY, HeadContract, revision, words
from workers.modelling.regions import Regions, pooled
from workers.models import family
from workers.models.family import Model, ScoreKind
from workers.registry import ModelSpec

pytestmark = pytest.mark.model


class RegionContract(HeadContract):
    """What models hold to that see regions."""

    @classmethod
    def detector(cls, folder: Path) -> None:
        """Save a detector."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
        """See ArchitectureContract."""
        folder, found = tmp_path_factory.mktemp(cls.__name__), tmp_path_factory.mktemp("detector")
        cls().build(folder)
        cls.detector(found)
        told = {"detector": {"source": str(found), "revision": revision(found)}, "region_count": 6}
        return spec_of(folder, cls.family, cls.capabilities, options={"threads": 1, **told, **cls.options})

    def test_regions_lie_inside_the_picture_and_are_as_many_as_asked_for(self, model: Model) -> None:
        features, boxes = model._regions.of(model.prepare(self.asks()[0]).payload.inputs["pixel_values"])  # type: ignore[attr-defined]

        assert features.shape == (1, 6, 32)
        assert boxes.shape == (1, 6, 4)
        assert bool((boxes >= 0).all())
        assert bool((boxes <= 1).all())
        assert bool((boxes[..., 2:] >= boxes[..., :2]).all())
        assert len(features[0].unique(dim=0)) > 1

    def test_a_detector_is_needed(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="detector: Field required"):
            family.load(spec.model_copy(update={"options": {"threads": 1}}))

    def test_a_detector_is_pinned(self, spec: ModelSpec) -> None:
        other = {**spec.options["detector"], "revision": f"sha256:{'0' * 64}"}

        with pytest.raises(ModelUnavailable, match="not the pinned"):
            family.load(spec.model_copy(update={"options": {**spec.options, "detector": other}}))

    def test_another_kind_of_regions_is_refused(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="regions: Input should be"):
            family.load(spec.model_copy(update={"options": {**spec.options, "regions": "grid"}}))

    def test_what_has_no_queries_is_refused(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable):
            family.load(spec.model_copy(update={"options": {**spec.options, "region_count": 0}}))


class TestVisualBert(RegionContract):
    architecture = "VisualBERT"
    scores = ScoreKind.SOFTMAX

    def build(self, folder: Path) -> None:
        config = VisualBertConfig(**TINY, **NAMES, vocab_size=300, visual_embedding_dim=32)
        saved(folder, lambda: VisualBertForQuestionAnswering(config), words())

    @classmethod
    def detector(cls, folder: Path) -> None:
        backbone = RTDetrResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 16, 32, 24],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        )
        config = RTDetrConfig(
            backbone_config=backbone,
            encoder_hidden_dim=32,
            encoder_in_channels=[16, 32, 24],
            encoder_ffn_dim=32,
            encoder_attention_heads=2,
            d_model=32,
            decoder_in_channels=[32, 32, 32],
            decoder_ffn_dim=32,
            decoder_layers=2,
            decoder_attention_heads=2,
            num_queries=12,
            initializer_range=0.3,
        )
        images = RTDetrImageProcessor(size={"height": SIDE, "width": SIDE}, do_pad=False)
        saved(folder, lambda: RTDetrForObjectDetection(config), images)

    def test_features_of_another_size_are_refused(self, spec: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="takes regions of 32 numbers, and its detector gives 24"):
            family.load(spec.model_copy(update={"options": {**spec.options, "regions": "pooled"}}))


class TestLxmert(RegionContract):
    architecture = "LXMERT"
    options: ClassVar[dict[str, Any]] = {"regions": "pooled"}
    sizes = ((40, 64), (80, 128), (20, 32), (60, 96))

    def build(self, folder: Path) -> None:
        parts = {name: value for name, value in TINY.items() if name != "num_hidden_layers"}
        config = LxmertConfig(
            **parts, **NAMES, vocab_size=300, visual_feat_dim=32, num_qa_labels=7, l_layers=1, x_layers=1, r_layers=1
        )
        saved(folder, lambda: LxmertForQuestionAnswering(config), words())

    @classmethod
    def detector(cls, folder: Path) -> None:
        backbone = ResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 16, 32, 32],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage4"],
        )
        config = DetrConfig(
            backbone_config=backbone,
            d_model=24,
            encoder_layers=1,
            encoder_ffn_dim=32,
            encoder_attention_heads=2,
            decoder_layers=1,
            decoder_ffn_dim=32,
            decoder_attention_heads=2,
            num_queries=12,
            init_std=0.3,
        )
        images = DetrImageProcessor(size={"shortest_edge": 2 * SIDE, "longest_edge": 4 * SIDE})
        saved(folder, lambda: DetrForObjectDetection(config), images)


def test_pooling_takes_the_mean_of_the_map_inside_the_box() -> None:
    # given a map that grows by one from column to column
    maps = torch.arange(8.0).expand(1, 3, 4, 8)
    boxes = torch.tensor([[[0.25, 0.0, 0.75, 0.5], [0.0, 0.0, 0.5, 1.0], [0.75, 0.5, 0.75, 0.5]]])

    features = pooled(maps, boxes)

    # then a box's features are the values at its middle
    assert features.shape == (1, 3, 3)
    assert features[0, :, 0].tolist() == pytest.approx([3.5, 1.5, 5.5], abs=0.05)


def test_boxes_are_pooled_in_bfloat16_too() -> None:
    maps, boxes = torch.ones(1, 3, 4, 4, dtype=torch.bfloat16), torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])

    features = pooled(maps, boxes.to(torch.bfloat16))

    assert features.dtype == torch.bfloat16
    assert features.tolist() == [[[1.0, 1.0, 1.0]]]


@pytest.mark.parametrize(("kind", "hooks"), [("queries", 0), ("pooled", 1)])
def test_maps_are_kept_where_they_are_pooled_only(kind: str, hooks: int) -> None:
    network = torch.nn.Module()
    network.model = torch.nn.Module()
    network.model.backbone = torch.nn.Identity()
    network.config = SimpleNamespace(num_queries=3)  # type: ignore[assignment]

    Regions(network, kind, 2)

    assert len(network.model.backbone._forward_hooks) == hooks
