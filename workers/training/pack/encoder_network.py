"""The embedded encoder's network: a small CLIP (Radford et al. 2021) with a ResNet, its tokenizer, how it is kept.

The eye carries two linear readers, for what a patch shows, which only teach it and are not kept.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from workers.training.pack import eye
from workers.training.pack.encoder_examples import SIDE
from workers.training.worlds import symbols
from workers.training.worlds.objects import KINDS
from workers.training.worlds.palette import COLOURS
from workers.training.worlds.scene_patches import COLOUR_LABELS, KIND_LABELS
from workers.training.worlds.scene_words import FRAMES, NUMBERS, called, with_article

TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS, LONGEST = 192, 3, 3, 32
SHARED = 128
"""Length of the vectors of pictures and of texts."""
VOCABULARY = 640
START, END, PADDING = "<|startoftext|>", "<|endoftext|>", "<|pad|>"
TEMPLATES = ("{}", "a picture of {}", "a photo of {}.")


class Seeing(torch.nn.Module):
    """A CLIP, and readers of its patches: `clip`, `kinds`, `colours`."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.clip: Any = VisionTextDualEncoderModel(_config(tokenizer))
        self.clip.vision_model.to(memory_format=torch.channels_last)
        self.kinds = torch.nn.Linear(eye.WIDTH, len(KIND_LABELS))
        self.colours = torch.nn.Linear(eye.WIDTH, len(COLOUR_LABELS))

    def looked(self, pixels: npt.NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return, of N×S×S×3 bytes, the pictures' vectors N×D, and what patches show: N×P×kinds, N×P×colours."""
        found = self.clip.vision_model(pixel_values=eye.normalised(pixels))
        patches = eye.rows(found.last_hidden_state)
        return self.clip.visual_projection(found.pooler_output), self.kinds(patches), self.colours(patches)

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the vectors T×D of texts, as T×L tokens padded on the right."""
        return self.clip.text_projection(self.clip.text_model(input_ids=tokens).pooler_output)  # type: ignore[no-any-return]

    def compared(self, pictures: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Return how well each text fits each picture, N×T, as logits."""
        one, other = (torch.nn.functional.normalize(vectors.float(), dim=-1) for vectors in (pictures, texts))
        scale: torch.Tensor = self.clip.logit_scale.exp().clamp(max=100)
        return one @ other.T * scale


def _config(tokenizer: PreTrainedTokenizerFast) -> VisionTextDualEncoderConfig:
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=TEXT_HEADS,
        max_position_embeddings=LONGEST,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return VisionTextDualEncoderConfig.from_vision_text_configs(eye.config(), text, projection_dim=SHARED)


def tokenizer() -> PreTrainedTokenizerFast:
    """Make the tokenizer: byte-level BPE of lower-case text, learned from all that is said of the drawn worlds."""
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[START, END, PADDING],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_sayings(), trainer)
    ends = [(token, made.token_to_id(token)) for token in (START, END)]
    made.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=START, eos_token=END, pad_token=PADDING, model_max_length=LONGEST
    )


def _sayings() -> list[str]:
    kinds = [(called(kind), called(kind, 2)) for kind in (*KINDS, *symbols.SYMBOLS)]
    also = [other for kind in KINDS.values() for other in kind.also] + [
        w for more in symbols.ALSO.values() for w in more
    ]
    spoken = [name for both in kinds for name in both] + also + list(COLOURS) + list(NUMBERS)
    return [frame.format(with_article(name)) for name in spoken for frame in FRAMES] + ["there are and"] * 9


def save(network: Seeing, words: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the CLIP as a checkpoint that the family `dual_encoder` serves: half precision, safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = VisionTextDualEncoderModel(network.clip.config)
    kept.load_state_dict(network.clip.state_dict())
    kept.half().save_pretrained(folder)
    words.save_pretrained(folder)
    square = {"height": SIDE, "width": SIDE}
    three = [eye.HALF] * 3
    CLIPImageProcessor(size=square, do_center_crop=False, image_mean=three, image_std=three).save_pretrained(folder)
