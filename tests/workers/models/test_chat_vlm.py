"""The family `chat_vlm`: Qwen-VL, LLaVA, PaliGemma and InternVL at toy size, with random weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    CLIPImageProcessor,
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    LlavaProcessor,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    SiglipImageProcessor,
)

from tests.workers.models.chat_contract import ChatVlmContract
from tests.workers.models.chat_toys import (
    PATCH,
    SIDE,
    SPREAD,
    chat_template,
    chat_tokenizer,
    saved_chat,
    text_of,
    vision_of,
)

pytestmark = pytest.mark.model

QWEN_SIGNS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
QWEN_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN_SIZE = {"shortest_edge": 16 * 16, "longest_edge": 48 * 48}


class TestQwen2Vl(ChatVlmContract):
    """Qwen2-VL (Wang et al. 2024)."""

    architecture = "Qwen2-VL"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer(*QWEN_SIGNS)
        text = text_of(
            tokenizer, rope_parameters={"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
        )
        vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": PATCH}
        config = Qwen2VLConfig(
            text_config=text, vision_config={**vision, "initializer_range": SPREAD}, **_qwen(tokenizer)
        )
        images, videos = (
            kind(patch_size=PATCH, size=QWEN_SIZE) for kind in (Qwen2VLImageProcessor, Qwen2VLVideoProcessor)
        )
        prompts = Qwen2VLProcessor(images, tokenizer, videos, chat_template=chat_template(QWEN_PICTURE))
        saved_chat(folder, Qwen2VLForConditionalGeneration, config, prompts)


class TestQwen25Vl(ChatVlmContract):
    """Qwen2.5-VL (Bai et al. 2025), whose vision attends within windows."""

    architecture = "Qwen2.5-VL"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer(*QWEN_SIGNS)
        rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
        vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": PATCH}
        more = {"out_hidden_size": 32, "fullatt_block_indexes": [1], "window_size": 2 * PATCH}
        config = Qwen2_5_VLConfig(
            text_config=text_of(tokenizer, rope_parameters=rope),
            vision_config={**vision, **more, "initializer_range": SPREAD},
            **_qwen(tokenizer),
        )
        images, videos = (
            kind(patch_size=PATCH, size=QWEN_SIZE) for kind in (Qwen2VLImageProcessor, Qwen2VLVideoProcessor)
        )
        prompts = Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=chat_template(QWEN_PICTURE))
        saved_chat(folder, Qwen2_5_VLForConditionalGeneration, config, prompts)


class TestQwen3Vl(ChatVlmContract):
    architecture = "Qwen3-VL"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer(*QWEN_SIGNS)
        rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
        vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": PATCH}
        more = {"out_hidden_size": 32, "deepstack_visual_indexes": [0], "num_position_embeddings": 64}
        config = Qwen3VLConfig(
            text_config=text_of(tokenizer, head_dim=16, rope_parameters=rope),
            vision_config={**vision, **more, "initializer_range": SPREAD},
            **_qwen(tokenizer),
        )
        images, videos = (
            kind(patch_size=PATCH, size=QWEN_SIZE) for kind in (Qwen2VLImageProcessor, Qwen3VLVideoProcessor)
        )
        prompts = Qwen3VLProcessor(images, tokenizer, videos, chat_template=chat_template(QWEN_PICTURE))
        saved_chat(folder, Qwen3VLForConditionalGeneration, config, prompts)


class TestLlava(ChatVlmContract):
    """LLaVA 1.5 (Liu et al. 2023)."""

    architecture = "LLaVA"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer("<image>")
        prompts = LlavaProcessor(
            CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
            tokenizer,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=chat_template("<image>\n"),
        )
        config = LlavaConfig(
            text_config={"model_type": "llama", **text_of(tokenizer)},
            vision_config={"model_type": "clip_vision_model", **vision_of()},
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            image_seq_length=(SIDE // PATCH) ** 2,
        )
        saved_chat(folder, LlavaForConditionalGeneration, config, prompts)


class TestLlavaOneVision(ChatVlmContract):
    """LLaVA-OneVision (Li et al. 2024)."""

    architecture = "LLaVA-OneVision"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer("<image>", "<video>")
        pinpoints = [[SIDE, SIDE], [SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
        size = {"height": SIDE, "width": SIDE}
        prompts = LlavaOnevisionProcessor(
            LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=pinpoints),
            tokenizer,
            LlavaOnevisionVideoProcessor(size=size),
            num_image_tokens=(SIDE // PATCH) ** 2,
            vision_feature_select_strategy="full",
            chat_template=chat_template("<image>\n"),
        )
        config = LlavaOnevisionConfig(
            text_config={"model_type": "qwen2", **text_of(tokenizer)},
            vision_config={"model_type": "siglip_vision_model", **vision_of(vision_use_head=False)},
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
            image_grid_pinpoints=pinpoints,
        )
        saved_chat(folder, LlavaOnevisionForConditionalGeneration, config, prompts)


class TestPaliGemma(ChatVlmContract):
    """PaliGemma (Beyer et al. 2024), which has no chat template."""

    architecture = "PaliGemma"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer()
        images = SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
        images.image_seq_length = (SIDE // PATCH) ** 2
        prompts = PaliGemmaProcessor(images, tokenizer)
        config = PaliGemmaConfig(
            text_config={"model_type": "gemma", **text_of(tokenizer, head_dim=16)},
            vision_config={"model_type": "siglip_vision_model", **vision_of(vision_use_head=False)},
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            projection_dim=32,
            hidden_size=32,
        )
        saved_chat(folder, PaliGemmaForConditionalGeneration, config, prompts)

    def after(self, name: str, last: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(last) if name == "token_type_ids" else last


class TestInternVl(ChatVlmContract):
    """InternVL 3 (Zhu et al. 2025)."""

    architecture = "InternVL"

    def build(self, folder: Path) -> None:
        signs = {"start_image_token": "<img>", "end_image_token": "</img>", "video_token": "<video>"}
        tokenizer = chat_tokenizer(named={**signs, "context_image_token": "<IMG_CONTEXT>"})
        size = {"height": SIDE, "width": SIDE}
        prompts = InternVLProcessor(
            GotOcr2ImageProcessor(size=size, min_patches=1, max_patches=3),
            tokenizer,
            InternVLVideoProcessor(size=size),
            image_seq_length=4,
            chat_template=chat_template("<IMG_CONTEXT>\n"),
        )
        config = InternVLConfig(
            text_config={"model_type": "qwen2", **text_of(tokenizer)},
            vision_config=vision_of(image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
            image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
            image_seq_length=4,
        )
        saved_chat(folder, InternVLForConditionalGeneration, config, prompts)


def _qwen(tokenizer: Any) -> dict[str, int]:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return dict(zip(names, tokenizer.convert_tokens_to_ids(list(QWEN_SIGNS)), strict=True))
