"""The embedded VLM's network: a small FastVLM (Vasu et al. 2025) with the pack's eye, and how it is kept.

The eye carries four linear readers, for what a patch shows, which only teach it and are not kept.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import (
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from workers.training.pack import eye
from workers.training.pack.vlm_words import END, IMAGE, PAD, processor
from workers.training.worlds.phantom_findings import FINDINGS
from workers.training.worlds.scene_patches import COLOUR_LABELS, KIND_LABELS

WIDTH, LAYERS, HEADS = 256, 4, 4
POSITIONS = 512


class Seeing(torch.nn.Module):
    """A VLM, and readers of its patches: `vlm`, `kinds`, `colours`, `boxes`, `findings`."""

    def __init__(self, words: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.vlm: Any = network(words)
        self.vlm.model.vision_tower.to(memory_format=torch.channels_last)
        self.kinds = torch.nn.Linear(eye.WIDTH, len(KIND_LABELS))
        self.colours = torch.nn.Linear(eye.WIDTH, len(COLOUR_LABELS))
        self.boxes = torch.nn.Linear(eye.WIDTH, 4)
        self.findings = torch.nn.Linear(eye.WIDTH, len(FINDINGS))

    def looked(self, pixels: npt.NDArray[np.uint8]) -> Any:  # noqa: ANN401  (transformers has no types)
        """Return what the eye makes of N×S×S×3 bytes: `last_hidden_state`, N×W×H×H, and tokens as `pooler_output`."""
        return self.vlm.model.get_image_features(eye.normalised(pixels))

    def told(self, seen: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401
        """Return what patches show, N×P×…: kinds, colours and findings as logits, boxes in shares of the side."""
        patches = eye.rows(seen.last_hidden_state)
        return {
            "kinds": self.kinds(patches),
            "colours": self.colours(patches),
            "boxes": self.boxes(patches).float().sigmoid(),
            "findings": self.findings(patches),
        }


def network(words: PreTrainedTokenizerFast) -> FastVlmForConditionalGeneration:
    """Build it with random weights."""
    ids = {"pad_token_id": words.convert_tokens_to_ids(PAD), "eos_token_id": words.convert_tokens_to_ids(END)}
    text = LlamaConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        **ids,
    )
    config = FastVlmConfig(
        vision_config=eye.config(),
        text_config=text,
        image_token_index=words.convert_tokens_to_ids(IMAGE),
        tie_word_embeddings=True,
        **ids,
    )
    made = FastVlmForConditionalGeneration(config)
    made.generation_config = GenerationConfig(bos_token_id=None, **ids)
    return made


def save(trained: Seeing, words: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the VLM as a checkpoint that the family `chat_vlm` serves: half precision, safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = network(words)
    kept.load_state_dict(trained.vlm.state_dict())
    kept.half().save_pretrained(folder)
    processor(words).save_pretrained(folder)
