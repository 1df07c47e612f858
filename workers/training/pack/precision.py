"""In what the recipes of the pack compute."""

from contextlib import AbstractContextManager

import torch


def quick() -> AbstractContextManager[object]:
    """Compute matrix products in bfloat16 where the processor has units for them (Intel's AMX), else as they are."""
    able = bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=able)
