"""The embedded VLM's network: a small Idefics3 (Laurençon et al. 2024), and how it is kept.

The eye carries three linear readers, for what a patch shows, which only teach it and are not kept.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlamaConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig

from workers.training.pack.vlm_examples import PATCH, SIDE
from workers.training.pack.vlm_words import END, IMAGE, PAD, SHUFFLE, processor
from workers.training.worlds.phantom_findings import FINDINGS
from workers.training.worlds.scene_patches import COLOUR_LABELS, KIND_LABELS

WIDTH, HEADS = 256, 4
LAYERS, TEXT_LAYERS = 6, 4
POSITIONS = 512
HALF = 0.5


class Seeing(torch.nn.Module):
    """A VLM, and readers of its patches: `vlm`, `kinds`, `colours`, `findings`."""

    def __init__(self, words: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.vlm: Any = network(words)
        self.kinds = torch.nn.Linear(WIDTH, len(KIND_LABELS))
        self.colours = torch.nn.Linear(WIDTH, len(COLOUR_LABELS))
        self.findings = torch.nn.Linear(WIDTH, len(FINDINGS))

    def looked(self, pixels: torch.Tensor) -> Any:  # noqa: ANN401  (transformers has no types)
        """Return what the eye makes of N×S×S×3 bytes: patches, N×P×W, as `last_hidden_state`, and the tokens."""
        values = (pixels.permute(0, 3, 1, 2).float() / 255 - HALF) / HALF
        return self.vlm.model.get_image_features(values[:, None])

    def told(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what patches show: N×P×kinds, N×P×colours, N×P×findings, as logits."""
        return self.kinds(seen), self.colours(seen), self.findings(seen)


def network(words: PreTrainedTokenizerFast) -> Idefics3ForConditionalGeneration:
    """Build it with random weights."""
    ids = {"pad_token_id": words.convert_tokens_to_ids(PAD), "eos_token_id": words.convert_tokens_to_ids(END)}
    vision = Idefics3VisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        image_size=SIDE,
        patch_size=PATCH,
    )
    text = LlamaConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        **ids,
    )
    config = Idefics3Config(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_id=words.convert_tokens_to_ids(IMAGE),
        scale_factor=SHUFFLE,
        tie_word_embeddings=True,
        **ids,
    )
    made = Idefics3ForConditionalGeneration(config)
    made.generation_config = GenerationConfig(bos_token_id=None, **ids)
    return made


def save(trained: Seeing, words: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the VLM as a checkpoint that the family `chat_vlm` serves: half precision, safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = network(words)
    kept.load_state_dict(trained.vlm.state_dict())
    kept.half().save_pretrained(folder)
    processor(words).save_pretrained(folder)
