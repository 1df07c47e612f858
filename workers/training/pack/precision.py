"""In what the recipes of the pack compute."""

from contextlib import AbstractContextManager

import torch


def quick() -> AbstractContextManager[object]:
    """Compute matrix products in bfloat16 where the processor multiplies it, else as they are."""
    able = any(torch.cpu.get_capabilities().get(unit, False) for unit in ("amx_bf16", "avx512_bf16"))
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=able)
