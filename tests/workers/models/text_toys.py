"""Networks that find and read text, at toy size, with random weights."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BeitConfig,
    BeitImageProcessor,
    PPLCNetV4Config,
    PPOCRV5ServerDetImageProcessor,
    PPOCRV6SmallDetConfig,
    PPOCRV6SmallDetForObjectDetection,
    PPOCRV6SmallRecConfig,
    PPOCRV6SmallRecForTextRecognition,
    PPOCRV6SmallRecImageProcessor,
    PreTrainedTokenizerFast,
    RobertaConfig,
    TrOCRConfig,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
)

from tests.workers.models.toys import byte_level, saved

SIDE = 32
ENCODER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": SIDE,
    "patch_size": 8,
    "initializer_range": 0.3,
}
CHARACTERS = ["blank", *(chr(code) for code in range(ord("A"), ord("A") + 38)), " "]


def lively(model: Any) -> Any:
    """Return a network whose random weights let what it sees reach its output (He et al. 2015)."""
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.kaiming_normal_(weights)
    return model


def backbone(*strides: Any, **more: Any) -> PPLCNetV4Config:
    """Return a PP-LCNetV4 of four stages, each a block of that stride."""
    blocks = [[[3, 16, 16, stride, index == 0]] for index, stride in enumerate(strides)]
    return PPLCNetV4Config(stem_channels=[3, 8, 16], stem_type="small", block_configs=blocks, **more)


def save_detector(folder: Path) -> None:
    stages = backbone(1, 2, 2, 2, out_features=["stage1", "stage2", "stage3", "stage4"])
    config = PPOCRV6SmallDetConfig(backbone_config=stages, layer_list_out_channels=[16] * 4, neck_out_channels=16)
    images = PPOCRV5ServerDetImageProcessor()
    saved(folder, lambda: lively(PPOCRV6SmallDetForObjectDetection(config)), images)


def save_recogniser(folder: Path) -> None:
    config = PPOCRV6SmallRecConfig(
        backbone_config=backbone(1, 1, [2, 1], [2, 1]),
        hidden_size=16,
        depth=1,
        num_attention_heads=2,
        head_out_channels=len(CHARACTERS),
    )
    images = PPOCRV6SmallRecImageProcessor(character_list=CHARACTERS)
    saved(folder, lambda: lively(PPOCRV6SmallRecForTextRecognition(config)), images)


def save_trocr(folder: Path, **more: Any) -> None:
    """Save a TrOCR whose decoder is configured so besides."""
    tokenizer = _tokenizer()
    decoder = TrOCRConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        max_position_embeddings=24,
        init_std=0.3,
        cross_attention_hidden_size=32,
        **more,
    )
    images = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    _save_pair(folder, ViTConfig(**ENCODER), decoder, tokenizer, images)


def save_pair(folder: Path) -> None:
    """Save a reader of BEiT and RoBERTa, such as one may train for oneself."""
    tokenizer = _tokenizer()
    decoder = RobertaConfig(
        **{name: value for name, value in ENCODER.items() if name not in {"image_size", "patch_size"}},
        vocab_size=len(tokenizer),
        max_position_embeddings=24,
        is_decoder=True,
        add_cross_attention=True,
        pad_token_id=1,
    )
    images = BeitImageProcessor(size={"height": SIDE, "width": SIDE}, do_center_crop=False)
    _save_pair(folder, BeitConfig(**ENCODER), decoder, tokenizer, images)


def _tokenizer() -> PreTrainedTokenizerFast:
    ends = ("<s>", "</s>")
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level("<s>", "<pad>", "</s>", "<unk>", ends=ends),
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )


def _save_pair(folder: Path, encoder: Any, decoder: Any, tokenizer: Any, images: Any) -> None:
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, decoder_start_token_id=2, pad_token_id=1, eos_token_id=2
    )
    saved(folder, lambda: VisionEncoderDecoderModel(config), tokenizer, images)
