"""The family `promptable_masks`: each architecture at toy size, with random weights."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2Processor,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam3ImageProcessor,
    Sam3TrackerConfig,
    Sam3TrackerModel,
    Sam3TrackerProcessor,
    SamConfig,
    SamHQConfig,
    SamHQModel,
    SamImageProcessor,
    SamModel,
    SamProcessor,
)

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Box
from domain.vision import Capability, Prompt, Segment
from tests.workers.models.architectures import ArchitectureContract
from tests.workers.models.contract import coloured
from tests.workers.models.toys import saved, spec_of
from workers.imaging.masks import decode
from workers.models import family, promptable_masks
from workers.models.family import Ask, Model, Pixels, ScoreKind
from workers.registry import ModelSpec

pytestmark = pytest.mark.model

TOLERANCE = 1e-3
SAME = 0.999
SIDE = 64


def box(*xyxy: float) -> Box:
    """Return a box from its corners."""
    return Box(**dict(zip(("x0", "y0", "x1", "y1"), xyxy, strict=True)))


class PromptableMasksContract(ArchitectureContract):
    """What every row of the family must hold to."""

    family = "promptable_masks"
    capabilities = (Capability.SEGMENT,)

    def asks(self) -> Sequence[Ask]:
        """See FamilyContract."""
        prompts = (
            Prompt(boxes=(box(3, 4, 30, 20), box(0, 0, 64, 40), box(10, 10, 12, 12))),
            Prompt(points=((5, 5), (12.5, 30))),
            Prompt(boxes=(box(-9, 5, 12, 400),), points=((0, 0),)),
            Prompt(points=((50, 120),)),
        )
        sizes = ((40, 64), (64, 40), (33, 33), (120, 50))
        return [
            self._asked(coloured(*size, seed), prompt)
            for seed, (size, prompt) in enumerate(zip(sizes, prompts, strict=True))
        ]

    def ask_of(self, pixels: Pixels) -> Ask:
        """See FamilyContract."""
        height, width = pixels.shape[:2]
        return self._asked(pixels, Prompt(boxes=(box(0, 0, width, height),), points=((width / 2, height / 2),)))

    def _asked(self, pixels: Pixels, prompt: Prompt) -> Ask:
        return Ask(Capability.SEGMENT, (pixels,), {"prompt": prompt})

    def check(self, ask: Ask, answer: Any) -> None:
        """See FamilyContract."""
        prompt = ask.arguments["prompt"]
        assert isinstance(answer, tuple)
        assert len(answer) == len(prompt.boxes) + bool(prompt.points)
        for segment in answer:
            assert isinstance(segment, Segment)
            assert (segment.mask.height, segment.mask.width) == ask.pictures[0].shape[:2]

    def same(self, one: Any, other: Any) -> bool:
        """See FamilyContract."""
        return len(one) == len(other) and all(
            abs(a.score - b.score) < TOLERANCE and np.mean(decode(a.mask) == decode(b.mask)) > SAME
            for a, b in zip(one, other, strict=True)
        )

    def processor(self, images: Any) -> Any:
        """Return the architecture's own processor."""
        raise NotImplementedError

    def test_each_mask_is_the_best_of_what_the_architectures_own_forward_pass_draws(
        self, model: Model, spec: ModelSpec
    ) -> None:
        pixels = coloured(60, 90, 1)
        processor = self.processor(AutoImageProcessor.from_pretrained(spec.path))
        boxes = [[[10.0, 5.0, 60.0, 50.0], [0.0, 0.0, 20.0, 20.0]]]
        prompts: list[tuple[Prompt, dict[str, Any]]] = [
            (Prompt(boxes=tuple(box(*told) for told in boxes[0])), {"input_boxes": boxes}),
            (Prompt(points=((10, 5), (60, 50))), {"input_points": [[[[10.0, 5.0], [60.0, 50.0]]]]}),
        ]

        for prompt, told in prompts:
            (answer,) = model.run([model.prepare(self._asked(pixels, prompt))])

            seen = processor(images=pixels, return_tensors="pt", **told)
            sizes = [seen.pop(name) for name in ("original_sizes", "reshaped_input_sizes") if name in seen]
            seen = {name: t.float() if t.is_floating_point() else t for name, t in seen.items()}
            with torch.inference_mode():
                drawn = model.network(**seen)  # type: ignore[attr-defined]
            fields = processor.post_process_masks(list(drawn.pred_masks), *sizes, binarize=False)[0]
            best = drawn.iou_scores[0].argmax(dim=1).tolist()
            for index, segment in enumerate(answer):
                field = fields[index, best[index]].numpy()
                sure = np.abs(field) > 0.3 * field.std()  # SAM's own reading blurs twice, and differs at the rims
                assert np.mean((field > 0)[sure] == decode(segment.mask)[sure]) > 0.99
                estimate = min(max(float(drawn.iou_scores[0, index, best[index]]), 0), 1)
                assert segment.score == pytest.approx(estimate, abs=TOLERANCE)

    def test_masks_are_neither_empty_nor_all_and_differ_by_prompt(self, model: Model) -> None:
        prompt = Prompt(boxes=(box(10, 5, 60, 50), box(70, 10, 90, 60)), points=((3, 50), (50, 3)))

        (answer,) = model.run([model.prepare(self._asked(coloured(60, 90, 1), prompt))])

        assert model.scores == ScoreKind.OVERLAP
        assert all(0 < segment.mask.area < 60 * 90 for segment in answer)
        assert len({segment.mask.counts for segment in answer}) == 3
        assert all(0 < segment.score < 1 for segment in answer)

    def test_many_boxes_are_answered_as_few_are(self, model: Model) -> None:
        boxes = tuple(box(n, 2, n + 20, 30) for n in range(promptable_masks.AT_ONCE + 3))
        asks = [self._asked(coloured(40, 90, 1), Prompt(boxes=told)) for told in (boxes, boxes[-1:])]

        many, last = model.run([model.prepare(ask) for ask in asks])

        self.check(asks[0], many)
        assert self.same(many[-1:], last)

    def test_what_comes_in_bands_is_what_comes_at_once(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        prepared = model.prepare(self.ask_of(coloured(60, 90, 1)))
        (whole,) = model.run([prepared])

        monkeypatch.setattr(promptable_masks, "BAND", 400)

        assert model.run([prepared])[0] == whole

    @pytest.mark.parametrize(
        ("prompt", "reason"),
        [
            (Prompt(phrase="a cat"), "no phrase"),
            (Prompt(phrase="a cat", points=((3, 3),)), "no phrase"),
            (Prompt(), "no box and no point"),
            (Prompt(boxes=(box(50, 5, 70, 9),)), "covers nothing"),
            (Prompt(boxes=(box(5, 5, 5, 9),)), "covers nothing"),
            (Prompt(points=((3, 3), (3, 40.5))), "outside"),
        ],
    )
    def test_prompts_that_show_nothing_are_refused(self, model: Model, prompt: Prompt, reason: str) -> None:
        with pytest.raises(ModelError, match=reason):
            model.prepare(self._asked(coloured(40, 40, 0), prompt))


def lively(make: Callable[[], Any]) -> Callable[[], Any]:
    """Make a network whose masks have both signs and depend on the prompt, and whose estimates lie within (0, 1)."""

    def scaled() -> Any:
        network = make()
        with torch.no_grad():
            for name, weights in network.named_parameters():
                if weights.ndim > 1 and ("mask_decoder" in name or "prompt_encoder" in name):
                    weights.normal_(std=0.3)
                if "iou_prediction_head.proj_out" in name:
                    weights.mul_(0.05).add_(0.5 if weights.ndim == 1 else 0)
        return network

    return scaled


PROMPTS = {"hidden_size": 16, "image_size": SIDE, "mask_input_channels": 4}
DECODER = {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}


class TestSam(PromptableMasksContract):
    architecture = "SAM"

    def build(self, folder: Path) -> None:
        saved(folder, lively(lambda: SamModel(SamConfig(**_sam()))), _sam_images())

    def processor(self, images: Any) -> Any:
        return SamProcessor(images)

    def test_another_network_for_masks_is_refused(self, tmp_path: Path) -> None:
        told = _sam()
        told["mask_decoder_config"] = {**told["mask_decoder_config"], "vit_dim": 32}
        saved(tmp_path, lambda: SamHQModel(SamHQConfig(**told)), _sam_images())

        with pytest.raises(ModelUnavailable, match="SamHQModel is none of SAM, SAM 2"):
            family.load(spec_of(tmp_path, "promptable_masks", self.capabilities))


class TestSam2(PromptableMasksContract):
    architecture = "SAM 2"

    def build(self, folder: Path) -> None:
        images = Sam2ImageProcessor(size={"height": SIDE, "width": SIDE})
        saved(folder, lively(lambda: Sam2Model(Sam2Config(**_sam2()))), images)

    def processor(self, images: Any) -> Any:
        return Sam2Processor(images, target_size=SIDE)


class TestSam2AsPublished(TestSam2):
    """The published checkpoints are those of the network for video; what remembers earlier pictures is left out."""

    architecture = "SAM 2 (video checkpoint)"

    def build(self, folder: Path) -> None:
        images = Sam2ImageProcessor(size={"height": SIDE, "width": SIDE})
        memory = {
            "image_size": SIDE, "memory_attention_hidden_size": 16, "memory_attention_num_layers": 1,
            "memory_attention_feed_forward_hidden_size": 32, "memory_attention_rope_feat_sizes": [4, 4],
            "memory_encoder_hidden_size": 16, "memory_encoder_output_channels": 8, "mask_downsampler_embed_dim": 16,
            "memory_fuser_embed_dim": 16, "memory_fuser_intermediate_dim": 32,
        }  # fmt: skip
        saved(folder, lively(lambda: Sam2VideoModel(Sam2VideoConfig(**_sam2(), **memory))), images)


class TestSam3Tracker(PromptableMasksContract):
    """The part of SAM 3 that boxes and points prompt (Carion et al. 2025)."""

    architecture = "SAM 3 (tracker)"

    def build(self, folder: Path) -> None:
        backbone = {
            "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "image_size": SIDE, "pretrain_image_size": SIDE, "patch_size": 8,
            "window_size": 4, "global_attn_indexes": [1],
        }  # fmt: skip
        sizes = [[4 * SIDE // 8] * 2, [2 * SIDE // 8] * 2, [SIDE // 8] * 2]
        vision = {"model_type": "sam3_vision_model", "backbone_config": backbone, "backbone_feature_sizes": sizes}
        config = Sam3TrackerConfig(
            vision_config={**vision, "fpn_hidden_size": 16},
            prompt_encoder_config={**PROMPTS, "patch_size": 8},
            mask_decoder_config=DECODER,
        )
        images = Sam3ImageProcessor(size={"height": SIDE, "width": SIDE})
        saved(folder, lively(lambda: Sam3TrackerModel(config)), images)

    def processor(self, images: Any) -> Any:
        return Sam3TrackerProcessor(images, target_size=SIDE)


def _sam() -> dict[str, Any]:
    vision = {
        "hidden_size": 32, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE,
        "patch_size": 8, "window_size": 4, "global_attn_indexes": [1], "num_pos_feats": 8, "mlp_dim": 32,
        "initializer_range": 0.02,
    }  # fmt: skip
    prompts = {**PROMPTS, "patch_size": 8}
    return {"vision_config": vision, "prompt_encoder_config": prompts, "mask_decoder_config": DECODER}


def _sam_images() -> Any:
    return SamImageProcessor(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE})


def _sam2() -> dict[str, Any]:
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [SIDE, SIDE],
        "window_positional_embedding_background_size": [4, 4], "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 4, 4, 2], "global_attention_blocks": [3],
    }  # fmt: skip
    vision = {
        "model_type": "sam2_vision_model", "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 16,
    }  # fmt: skip
    return {"vision_config": vision, "prompt_encoder_config": PROMPTS, "mask_decoder_config": DECODER}
