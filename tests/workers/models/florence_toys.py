"""Florence-2 at toy size, taught a few answers by heart: random weights would hardly ever say a place."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    PreTrainedTokenizerFast,
)

from tests.workers.models.toys import byte_level, saved

SIDE = 32
PLACES = 17
"""How many tokens a picture of that side becomes: 4 x 4 cells and their mean."""
POSITIONS = 128
STEPS = 80
RULES: dict[str, dict[str, Any]] = {
    "ocr": {"PATTERN": "([^<]+)" + r"<loc_(\d+)>" * 8, "AREA_THRESHOLD": 0.0},
    "phrase_grounding": {"banned_grounding_tokens": ["it", "the image"]},
    "pure_text": {},
    "description_with_bboxes": {},
    "description_with_polygons": {},
    "polygons": {},
    "bboxes": {},
    "description_with_bboxes_or_polygons": {},
}
"""How the published processors parse."""


def places(*bins: int) -> str:
    """Return places as the network says them."""
    return "".join(f"<loc_{one}>" for one in bins)


def built(folder: Path, answers: Mapping[str, str], by_light: Mapping[str, tuple[str, str]]) -> None:
    """Save a network that answers the prompts (in words, not as tasks) as it is told.

    Those of `by_light` have two answers, one for a dark picture and one for a bright one.
    """
    special = ["<s>", "<pad>", "</s>", "<unk>", "<image>", *(f"<loc_{one}>" for one in range(1000))]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(*special, words=len(special) + 400),
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )
    images = CLIPImageProcessor(size={"height": SIDE, "width": SIDE}, do_center_crop=False, image_seq_length=PLACES)
    processor = Florence2Processor(images, tokenizer, post_processor_config=RULES)
    saved(folder, lambda: _taught(_config(len(tokenizer)), tokenizer, answers, by_light), processor)


def _config(words: int) -> Florence2Config:
    text = {
        "model_type": "bart", "d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": words,
        "max_position_embeddings": POSITIONS, "dropout": 0.0, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
        "decoder_start_token_id": 2, "forced_bos_token_id": 0, "forced_eos_token_id": 2,
    }  # fmt: skip
    vision = {
        "depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
        "patch_prenorm": [False, True], "embed_dim": [8, 16], "num_heads": [2, 2], "num_groups": [2, 2],
        "window_size": 4, "projection_dim": 64, "drop_path_rate": 0.0,
    }  # fmt: skip
    return Florence2Config(text_config=text, vision_config=vision, image_token_id=4)


def _taught(
    config: Florence2Config, tokenizer: Any, answers: Mapping[str, str], by_light: Mapping[str, tuple[str, str]]
) -> Any:
    torch.set_num_threads(1)  # so small a network gains nothing from more, and loses much where others compute
    network = Florence2ForConditionalGeneration(config)
    lessons = [(prompt, answer, 0.0) for prompt, answer in answers.items()]
    lessons += [
        lesson
        for prompt, (dark, bright) in by_light.items()
        for lesson in ((prompt, dark, -1.5), (prompt, bright, 1.5))
    ]
    asked = [f"{'<image>' * PLACES}<s>{prompt}</s>" for prompt, _, _ in lessons]
    prompts = tokenizer(asked, padding=True, add_special_tokens=False, return_tensors="pt")
    told = tokenizer([f"<s>{answer}</s>" for _, answer, _ in lessons], padding=True, return_tensors="pt")
    light = torch.tensor([light for *_, light in lessons])[:, None, None, None]
    labels = told["input_ids"].masked_fill(told["input_ids"] == tokenizer.pad_token_id, -100)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=STEPS)
    for _ in range(STEPS):
        pixels = torch.randn(len(asked), 3, SIDE, SIDE) * (0.3 if light.any() else 1) + light
        network(
            input_ids=prompts["input_ids"], attention_mask=prompts["attention_mask"], pixel_values=pixels, labels=labels
        ).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return network
