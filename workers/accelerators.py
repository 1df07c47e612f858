"""The accelerators of this machine, as torch tells of them: which one `auto` is, and how much memory each has.

torch is imported only where a driver is there, so that a worker without one starts quickly.
"""

from functools import partial
from pathlib import Path

from workers.memory import MEGABYTE, MODELS_SHARE, Memory

CPU = "cpu"
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
"""What a CUDA, a ROCm or a WSL driver shows itself by; torch calls the devices of all three `cuda`."""


def named(device: str) -> str:
    """Return the one name of a device of a profile or of a model: `cpu`, `cuda:0`.

    `auto` is the first accelerator where there is one. What is computed elsewhere counts as the host's.
    """
    if device == "auto":
        device = "cuda" if _accelerated() else CPU
    if not device.startswith("cuda"):
        return CPU
    return device if ":" in device else f"{device}:0"


def memory(device: str, budget_mb: int | None = None) -> Memory:
    """Return the memory of an accelerator, with a budget that is by default a share of what it has."""
    import torch

    _, total = torch.cuda.mem_get_info(device)
    return Memory(
        budget=int(MODELS_SHARE * total) if budget_mb is None else budget_mb * MEGABYTE,
        used=partial(_used, device),
        own=partial(torch.cuda.memory_allocated, device),
    )


def _used(device: str) -> int:
    """Return what every process holds of a device, less what this one's allocator keeps and could use again."""
    import torch

    free, total = torch.cuda.mem_get_info(device)
    spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(total - free - spare)


def _accelerated() -> bool:
    if not any(driver.exists() for driver in DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()
