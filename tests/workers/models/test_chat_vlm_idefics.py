"""The family `chat_vlm`: SmolVLM, Idefics, and Llama 3.2 Vision at toy size, with random weights."""

from pathlib import Path
from typing import Any

import pytest
from transformers import (
    Idefics2Config,
    Idefics2ForConditionalGeneration,
    Idefics2ImageProcessor,
    Idefics2Processor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    IdeficsConfig,
    IdeficsForVisionText2Text,
    IdeficsImageProcessor,
    IdeficsProcessor,
    MllamaConfig,
    MllamaForConditionalGeneration,
    MllamaImageProcessor,
    MllamaProcessor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
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

IDEFICS_SIGNS = ("<fake_token_around_image>", "<image>", "<end_of_utterance>")
TILES = ("<global-img>", *(f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)))


class TestSmolVlm(ChatVlmContract):
    """SmolVLM 2 (Marafioti et al. 2025)."""

    architecture = "SmolVLM"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer(*IDEFICS_SIGNS, *TILES)
        sizes = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
        prompts = SmolVLMProcessor(
            SmolVLMImageProcessor(**sizes),
            tokenizer,
            SmolVLMVideoProcessor(**sizes),
            image_seq_len=4,
            chat_template=chat_template("<image>"),
        )
        _idefics3(folder, SmolVLMConfig, SmolVLMForConditionalGeneration, prompts)


class TestIdefics3(ChatVlmContract):
    """Idefics3 (Laurençon et al. 2024)."""

    architecture = "Idefics3"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer(*IDEFICS_SIGNS, *TILES)
        prompts = Idefics3Processor(
            Idefics3ImageProcessor(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}),
            tokenizer,
            image_seq_len=4,
            chat_template=chat_template("<image>"),
        )
        _idefics3(folder, Idefics3Config, Idefics3ForConditionalGeneration, prompts)


class TestIdefics2(ChatVlmContract):
    """Idefics2 (Laurençon et al. 2024)."""

    architecture = "Idefics2"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer(*IDEFICS_SIGNS)
        images = Idefics2ImageProcessor(size={"shortest_edge": SIDE, "longest_edge": 2 * SIDE})
        prompts = Idefics2Processor(images, tokenizer, image_seq_len=4, chat_template=chat_template("<image>"))
        perceiver = {"hidden_size": 32, "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2}
        config = Idefics2Config(
            text_config={"model_type": "mistral", **text_of(tokenizer)},
            vision_config=vision_of(image_size=2 * SIDE),
            perceiver_config={**perceiver, "resampler_head_dim": 16, "num_key_value_heads": 1},
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        )
        saved_chat(folder, Idefics2ForConditionalGeneration, config, prompts)


class TestIdefics(ChatVlmContract):
    """Idefics (Laurençon et al. 2023), the open Flamingo."""

    architecture = "Idefics (open Flamingo)"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer(*IDEFICS_SIGNS)
        vision = {"embed_dim": 32, "image_size": SIDE, "patch_size": PATCH, "intermediate_size": 64}
        perceiver = {"use_resampler": True, "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2}
        text = text_of(tokenizer)
        del text["num_key_value_heads"]
        config = IdeficsConfig(
            **text,
            use_resampler=True,
            alpha_initializer="ones",  # as if trained: with zeros, a picture says nothing yet
            vision_config={**vision, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": SPREAD},
            perceiver_config={**perceiver, "resampler_head_dim": 16},
        )
        prompts = IdeficsProcessor(IdeficsImageProcessor(image_size=SIDE), tokenizer)
        saved_chat(folder, IdeficsForVisionText2Text, config, prompts)


class TestLlamaVision(ChatVlmContract):
    """Llama 3.2 Vision, whose text attends to pictures across."""

    architecture = "Llama 3.2 Vision"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer("<|image|>", "<|python_tag|>")
        vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_global_layers": 1}
        more = {"attention_heads": 2, "image_size": SIDE, "patch_size": PATCH, "initializer_range": SPREAD}
        config = MllamaConfig(
            text_config=text_of(tokenizer, num_hidden_layers=3, cross_attention_layers=[1]),
            vision_config={**vision, **more, "vision_output_dim": 96, "intermediate_layers_indices": [0, 1]},
            image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
        )
        images = MllamaImageProcessor(size={"height": SIDE, "width": SIDE}, max_image_tiles=4)
        prompts = MllamaProcessor(images, tokenizer, chat_template=chat_template("<|image|>", bos=True))
        saved_chat(folder, MllamaForConditionalGeneration, config, prompts)


def _idefics3(folder: Path, kind: Any, network: Any, prompts: Any) -> None:
    tokenizer = prompts.tokenizer
    config = kind(
        text_config={"model_type": "llama", **text_of(tokenizer)},
        vision_config=vision_of(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=2,
    )
    saved_chat(folder, network, config, prompts)
