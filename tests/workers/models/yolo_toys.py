"""YOLO networks that look for phrases, at toy size with random weights, and the toy CLIP that encodes their phrases."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel

from tests.workers.models.contract import coloured
from tests.workers.models.grounding_toys import clip_tokenizer
from tests.workers.models.text_toys import lively
from tests.workers.models.toys import saved
from workers.modelling.pairs import Pairs
from workers.models import yolo

SIDE = 64
SIZE = 512
"""of a phrase's vector; ultralytics' networks take no other"""
CLASSES = ("cat", "dog", "red car")


def save_clip(folder: Path, size: int = SIZE) -> None:
    """Save a CLIP, of which a text tower is one half."""
    tiny = {"intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32}
    tokenizer = clip_tokenizer()
    words = len(tokenizer)
    text = {"vocab_size": words, "bos_token_id": words - 2, "eos_token_id": words - 1, "max_position_embeddings": 16}
    vision = {"image_size": SIDE, "patch_size": 16}
    config = CLIPConfig(text_config={**tiny, **text}, vision_config={**tiny, **vision}, projection_dim=size)
    saved(folder, lambda: lively(CLIPModel(config)), tokenizer)


def save_world(file: Path) -> None:
    """Save a YOLO-World, second version, which keeps vectors of its classes as published ones do."""
    _save(yolo.WorldModel, "yolov8n-worldv2.yaml", "txt_feats", file)


def save_yoloe(file: Path) -> None:
    """Save a YOLOE that draws masks, without classes of its own as it is published."""
    _save(yolo.YOLOESegModel, "yoloe-v8n-seg.yaml", "", file)


def save_pairs(file: Path, how: Pairs) -> None:
    """Save a detector that was trained on pairs, looked at like that."""
    from ultralytics.nn.tasks import yaml_model_load

    torch.manual_seed(0)
    plan = {**yaml_model_load("yolo11n.yaml"), "scales": {"n": [0.33, 0.0625, 1024]}}
    network = yolo.DetectionModel(plan, nc=len(CLASSES), verbose=False)
    with torch.no_grad():
        bins = network.model[-1].dfl.conv.weight.clone()
        lively(network)
        network.model[-1].dfl.conv.weight.copy_(bins)
        for part in network.model[-1].cv3:
            part[-1].bias.fill_(0.0)
        _seen_pictures(network)
    yolo.save(network.eval(), CLASSES, SIDE, file, how)


def _awake(network: Any) -> Any:
    """Return a network of random weights whose boxes and scores depend on what it sees."""
    bins = network.model[-1].dfl.conv.weight.clone()  # these are no weights, but the distances that it tells apart
    lively(network)
    network.model[-1].dfl.conv.weight.copy_(bins)
    for part in network.model[-1].cv4:  # as they begin, every score is near 0
        part.bias.fill_(0.0)
        part.logit_scale.fill_(-0.5)
    _seen_pictures(network)
    return network.eval()


def _seen_pictures(network: Any) -> None:
    """Let the network's normalisation get to know pictures."""
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None  # an average of all that it has seen
    pictures = np.stack([coloured(SIDE, SIDE, seed) for seed in range(16)]).transpose(0, 3, 1, 2) / 255
    network.train()(torch.from_numpy(pictures).float())


def _save(kind: Any, architecture: str, slot: str, file: Path) -> None:
    from ultralytics.nn.tasks import yaml_model_load  # not before workers.models.yolo, which keeps it from connecting

    torch.manual_seed(0)
    plan = {**yaml_model_load(architecture), "scales": {"n": [0.33, 0.0625, 1024]}}
    with torch.no_grad():
        network = _awake(kind(plan, nc=len(CLASSES), verbose=False))
    if slot:
        setattr(network, slot, torch.nn.functional.normalize(torch.randn(1, len(CLASSES), SIZE), dim=-1))
    yolo.save(network, CLASSES, SIDE, file)
