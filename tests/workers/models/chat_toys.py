"""Chat models at toy size: each from its own configuration and processor classes, with a small chat template.

The published templates lie with the weights; those here have the same parts: turns, signs, places for pictures.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

import workers.modelling.prompts  # noqa: F401  (with it SmolVLM's processor is built without num2words)
from tests.workers.models.toys import byte_level

SIDE = 32
PATCH = 8
SPREAD = 0.4
"""Of the random weights: wide enough that the likeliest token is clearly so, and depends on the picture."""
GATES = ("gate", "mm_input_projection_weight")
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def chat_tokenizer(*special: str, named: Mapping[str, str] | None = None, bos: str = "<|bos|>") -> Any:
    """Return a byte-level tokenizer with signs of its own; `named` are those that a processor asks it for by name."""
    signs = [bos, "<|im_start|>", "<|im_end|>", "<|pad|>", *special, *(named or {}).values()]
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level(*dict.fromkeys(signs)),
        bos_token=bos,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>", *special],
        extra_special_tokens=dict(named or {}),
    )


def chat_template(image: str, *, bos: bool = False) -> str:
    """Return a chat template of the ChatML kind that puts `image` where a picture stands."""
    return (
        ("{{ bos_token }}" if bos else "")
        + "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        + "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        + image
        + "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def text_of(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """Return the configuration of a small decoder over a tokenizer's vocabulary."""
    return {
        **TINY,
        "num_key_value_heads": 1,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 4096,
        "initializer_range": SPREAD,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def vision_of(**more: Any) -> dict[str, Any]:
    """Return the configuration of a small vision transformer."""
    return {**TINY, "image_size": SIDE, "patch_size": PATCH, "initializer_range": SPREAD, **more}


def saved_chat(folder: Path, kind: Any, config: Any, prompts: Any) -> None:
    """Save a network with random weights, and its processor.

    Gates and projections that start at zero are opened, as if trained: behind them a picture says nothing.
    """
    torch.manual_seed(0)
    network = kind(config).eval()
    for name, weights in network.named_parameters():
        if name.endswith(GATES):
            torch.nn.init.normal_(weights.data, 0.5, SPREAD)
    network.generation_config.eos_token_id = prompts.tokenizer.eos_token_id
    network.generation_config.pad_token_id = prompts.tokenizer.pad_token_id
    network.save_pretrained(folder)
    prompts.save_pretrained(folder)
