"""Detectors that are small enough to be trained from random weights: what `--architecture` names, as configurations."""

from collections.abc import Callable, Mapping
from typing import Any

from transformers import DFineConfig, HGNetV2Config, RTDetrResNetConfig, RTDetrV2Config

SMALL: Mapping[str, Any] = {
    "encoder_hidden_dim": 128,
    "encoder_ffn_dim": 512,
    "d_model": 128,
    "decoder_in_channels": [128, 128, 128],
    "decoder_ffn_dim": 512,
    "decoder_layers": 3,
    "num_queries": 100,
    "freeze_backbone_batch_norms": False,
}
"""What the two have in common: half as wide and deep as published ones, and statistics that are learnt."""


def rt_detr_v2(**names: Any) -> RTDetrV2Config:  # noqa: ANN401
    """RT-DETR v2 (Lv et al. 2024) on a ResNet-18 of half its width."""
    backbone = RTDetrResNetConfig(
        embedding_size=32,
        hidden_sizes=[32, 64, 128, 256],
        depths=[2, 2, 2, 2],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    return RTDetrV2Config(backbone_config=backbone, encoder_in_channels=[64, 128, 256], **SMALL, **names)


def d_fine(**names: Any) -> DFineConfig:  # noqa: ANN401
    """D-FINE (Peng et al. 2024) on an HGNetV2 of the size of its nano."""
    backbone = HGNetV2Config(
        stem_channels=[3, 16, 16],
        stage_in_channels=[16, 64, 128, 256],
        stage_mid_channels=[16, 32, 64, 128],
        stage_out_channels=[64, 128, 256, 512],
        stage_num_blocks=[1, 1, 2, 1],
        stage_numb_of_layers=[3, 3, 3, 3],
        hidden_sizes=[64, 128, 256, 512],
        depths=[1, 1, 2, 1],
        embedding_size=16,
        out_features=["stage2", "stage3", "stage4"],
    )
    return DFineConfig(
        backbone_config=backbone,
        encoder_in_channels=[128, 256, 512],
        decoder_n_points=[3, 6, 3],
        **SMALL,
        **names,
    )


CONFIGS: Mapping[str, Callable[..., Any]] = {"rt_detr_v2": rt_detr_v2, "d_fine": d_fine}
