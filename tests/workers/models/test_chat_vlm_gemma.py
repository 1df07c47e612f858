"""The family `chat_vlm`: Gemma at toy size, with random weights."""

from pathlib import Path

import pytest
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    Gemma4AudioFeatureExtractor,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4ImageProcessor,
    Gemma4Processor,
    Gemma4VideoProcessor,
)

from tests.workers.models.chat_contract import ChatVlmContract
from tests.workers.models.chat_toys import (
    SIDE,
    SPREAD,
    TINY,
    chat_template,
    chat_tokenizer,
    saved_chat,
    text_of,
    vision_of,
)

pytestmark = pytest.mark.model

GEMMA_SIGNS = {
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "image_token": "<image_soft_token>",
}
GEMMA4_SIGNS = {
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "image_token": "<|image|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
    "audio_token": "<|audio|>",
}


class TestGemma3(ChatVlmContract):
    architecture = "Gemma 3"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer(named=GEMMA_SIGNS)
        text = text_of(tokenizer, head_dim=16, query_pre_attn_scalar=16, sliding_window=16)
        ids = {name: tokenizer.convert_tokens_to_ids(sign) for name, sign in GEMMA_SIGNS.items()}
        config = Gemma3Config(
            text_config={**text, "layer_types": ["sliding_attention", "full_attention"]},
            vision_config=vision_of(vision_use_head=False),
            mm_tokens_per_image=4,
            boi_token_index=ids["boi_token"],
            eoi_token_index=ids["eoi_token"],
            image_token_index=ids["image_token"],
            initializer_range=SPREAD,
            tie_word_embeddings=False,
        )
        images = Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE})
        template = chat_template(GEMMA_SIGNS["boi_token"], bos=True)
        prompts = Gemma3Processor(images, tokenizer, chat_template=template, image_seq_length=4)
        saved_chat(folder, Gemma3ForConditionalGeneration, config, prompts)


class TestGemma4(ChatVlmContract):
    """Gemma 4, without its ear."""

    architecture = "Gemma 4"

    def build(self, folder: Path) -> None:
        tokenizer = chat_tokenizer(named=GEMMA4_SIGNS)
        grid = {"patch_size": 4, "pooling_kernel_size": 2}
        prompts = Gemma4Processor(
            Gemma4AudioFeatureExtractor(),
            Gemma4ImageProcessor(max_soft_tokens=70, **grid),
            tokenizer,
            Gemma4VideoProcessor(max_soft_tokens=70, **grid),
            chat_template=chat_template(GEMMA4_SIGNS["image_token"], bos=True),
        )
        text = text_of(tokenizer, head_dim=16, global_head_dim=16, sliding_window=16, hidden_size_per_layer_input=8)
        layers = {"layer_types": ["sliding_attention", "full_attention"], "vocab_size_per_layer_input": len(tokenizer)}
        vision = {**TINY, **grid, "num_key_value_heads": 2, "head_dim": 16, "position_embedding_size": 1024}
        config = Gemma4Config(
            text_config={**text, **layers},
            vision_config={**vision, "initializer_range": SPREAD},
            audio_config=None,
            **{f"{name}_id": tokenizer.convert_tokens_to_ids(sign) for name, sign in GEMMA4_SIGNS.items()},
            video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
            initializer_range=SPREAD,
            tie_word_embeddings=False,
        )
        saved_chat(folder, Gemma4ForConditionalGeneration, config, prompts)
