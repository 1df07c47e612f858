"""The eye of the encoder and the VLM: a small ResNet (He et al. 2016) of timm, whose last stage keeps its resolution.

Convolutions, because they learn the drawn worlds from far fewer pictures than patches of a vision transformer do
(docs/decisions/0021).
"""

import numpy as np
import numpy.typing as npt
import torch
from transformers import TimmWrapperConfig

PATCH = 16
"""Each place of what the eye returns stands for so many pixels in both directions."""
WIDTHS = (32, 64, 192, 192)
WIDTH = WIDTHS[-1]
HALF = 0.5
"""Mean and deviation that pixels in [0, 1] are normalised by, in each channel."""


def config() -> TimmWrapperConfig:
    """Describe the network, with random weights."""
    shape = {"channels": list(WIDTHS), "output_stride": PATCH, "zero_init_last": False}
    return TimmWrapperConfig(architecture="resnet18", model_args=shape, do_pooling=True, hidden_size=WIDTH)


def normalised(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Return N×S×S×3 bytes as the N×3×S×S values that the eye takes."""
    values = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - HALF) / HALF
    return values.contiguous(memory_format=torch.channels_last)


def rows(seen: torch.Tensor) -> torch.Tensor:
    """Return what the eye makes of N pictures, N×W×H×H, place by place: N×P×W."""
    return seen.flatten(2).transpose(1, 2)
