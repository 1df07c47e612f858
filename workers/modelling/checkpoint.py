"""What every family that loads through transformers shares: the pinned files, the device, and computing on it.

A checkpoint is a folder with `config.json`, safetensors and the processor's files. It comes from the pinned commit of a
hub repository (`hub:OWNER/NAME`, fetched beforehand by `sightline models pull`: loading never connects to anything) or
from a folder whose digest the profile names. Code that a repository may carry is never run, pickled weights are never
read.
"""

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from domain.errors import DeviceOutOfMemory, ModelError, ModelUnavailable
from domain.vision import Capability
from workers.hub import fetched
from workers.hub import verify as verify
from workers.models.family import Ask, DeviceLost, Pixels, Prepared
from workers.registry import ModelSpec

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LOST = ("CUDA error", "device-side assert")
"""What an error says after which CUDA fails whatever this process asks of it."""
THREADS = torch.get_num_threads()
"""What torch takes by default; asked later, it would tell what a model that was loaded before was given."""


@dataclass(frozen=True)
class Place:
    """Where a model computes and in what."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    """of torch, on a CPU"""
    compile: str = ""
    """the mode of torch.compile; empty: not compiled"""
    channels_last: bool = False
    """whether convolutions find a picture's channels beside each other"""

    @property
    def dtype_name(self) -> str:
        """The dtype as profiles and answers call it."""
        return str(self.dtype).removeprefix("torch.")


def place(spec: ModelSpec) -> Place:
    """Say where a model of the profile computes.

    `auto` is the first CUDA device where there is one. On a CPU it is always float32, which is faster there than half
    precision. Raises ModelUnavailable where the device is absent or the dtype unknown.
    """
    if spec.dtype not in DTYPES:
        raise ModelUnavailable(f"model {spec.name!r}: dtype {spec.dtype!r} is none of {', '.join(DTYPES)}")
    cuda = torch.cuda.is_available()
    if spec.device not in {"auto", "cpu"} and not cuda:
        raise ModelUnavailable(f"model {spec.name!r}: device {spec.device!r} is asked for, but there is no CUDA device")
    device = torch.device(("cuda" if cuda else "cpu") if spec.device == "auto" else spec.device)
    dtype = DTYPES[spec.dtype] if device.type == "cuda" else torch.float32
    return Place(
        device,
        dtype,
        threads=int(spec.options.get("threads") or THREADS),
        compile=str(spec.options.get("compile") or ""),
        channels_last=bool(spec.options.get("channels_last")),
    )


def folder(spec: ModelSpec, marker: str = "config.json", weights: str = "*.safetensors") -> Path:
    """Return the folder with the checkpoint's files, exactly those that the profile pins.

    `marker` is the file that makes it a checkpoint, `weights` a pattern of where its weights lie. Raises
    ModelUnavailable where they are absent, are others, or are not pinned, with what to do.
    """
    found = fetched(spec) if spec.hub_id else spec.path
    if not (found / marker).is_file():
        raise ModelUnavailable(f"model {spec.name!r}: {found} holds no {marker}; it is no checkpoint of this family")
    if not spec.hub_id:
        verify(spec, found)
    if not any(found.glob(weights)):
        raise ModelUnavailable(f"model {spec.name!r}: {found} holds no safetensors; other weights are not read")
    return found


def pretrained(kind: Any, path: Path, at: Place, **more: Any) -> Any:  # noqa: ANN401  (transformers has no types)
    """Load a model of a class of transformers, ready to answer.

    Raises ModelUnavailable where the files lack some of its weights: transformers would draw them by chance; and where
    they name a network of timm that lies elsewhere.
    """
    config = path / "config.json"
    _at_home(path, json.loads(config.read_text("utf-8")) if config.exists() else None)
    model, found = kind.from_pretrained(
        path,
        dtype=at.dtype,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **more,
    )
    lacking = sorted({*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])})
    if lacking:
        raise ModelUnavailable(
            f"{path} is no whole {type(model).__name__}: it has no weights, or of another size, for {len(lacking)} "
            f"of its parameters, such as {lacking[0]}; take a checkpoint that was trained for this task"
        )
    model = model.eval().requires_grad_(False).to(at.device)
    read_in(model)
    if at.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if at.compile:
        _compile(model, path, at.compile)
    return model


def _at_home(path: Path, config: object) -> None:
    """Refuse a configuration that has timm fetch a network from a hub, or read one from a file of its own."""
    if isinstance(config, list):
        for each in config:
            _at_home(path, each)
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        if (key in {"architecture", "backbone"} and ":" in str(value)) or (key == "checkpoint_path" and value):
            raise ModelUnavailable(f"{path}: its config.json names a network outside the checkpoint: {key} {value!r}")
        _at_home(path, value)


def read_in(model: torch.nn.Module) -> None:
    """Read the weights that lie in a mapped file: else the first batch would, on the device's thread, with all waiting.

    Before that they are in no process's memory either, and nobody could measure what the model weighs.
    """
    for weights in model.state_dict().values():
        if weights.device.type == "cpu":
            weights.sum()


def _compile(model: Any, path: Path, mode: str) -> None:  # noqa: ANN401
    """Have a network compiled in place, at its first call: block by block where transformers names its repeated blocks.

    Blocks of one class share what is compiled; a whole network would be compiled anew for each of its entries (features
    of a text, of a picture). Sizes are not fixed: all batches but those of one share what is compiled. Raises
    ModelUnavailable for a model that generates: its cache differs at each step, and each block of it is compiled until
    torch gives up.
    """
    if model.can_generate():
        raise ModelUnavailable(f"{path}: a model that generates text is not compiled; drop the option `compile`")
    names = set(model._no_split_modules or ())
    blocks = [module for module in model.modules() if type(module).__name__ in names]
    for block in blocks or [model]:
        block.compile(mode=mode, dynamic=True)


def processor(kind: Any, path: Path, **more: Any) -> Any:  # noqa: ANN401
    """Load a processor, a tokenizer or an image processor of a class of transformers."""
    return kind.from_pretrained(path, trust_remote_code=False, local_files_only=True, **more)


@contextmanager
def computing(at: Place, size: int) -> Iterator[None]:
    """Compute on the device, without gradients. Raises DeviceOutOfMemory where `size` calls did not fit.

    Raises DeviceLost where the device failed in a way that it does not recover from within this process.
    """
    torch.set_num_threads(at.threads)  # OpenMP keeps this per calling thread, and loading was done in another
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        raise DeviceOutOfMemory(f"a batch of {size} did not fit on {at.device}: {error}") from error
    except RuntimeError as error:
        # The CPU's allocator has no type of its own for it, nor have all of CUDA's libraries.
        if "can't allocate memory" in str(error) or "CUDA error: out of memory" in str(error):
            raise DeviceOutOfMemory(f"a batch of {size} did not fit in memory: {error}") from error
        if isinstance(error, torch.AcceleratorError) or any(sign in str(error) for sign in LOST):
            raise DeviceLost(f"{at.device} is lost to this process: {error}") from error
        raise


def finite(*tensors: torch.Tensor) -> None:
    """Raise ModelError where the network's output is not finite: such scores would order as anything."""
    if not all(torch.isfinite(tensor).all() for tensor in tensors):
        raise ModelError("the network's output is not finite")


def one_picture(ask: Ask) -> Pixels:
    """Return a call's only picture, H × W × 3. Raises ModelError on any other number of them."""
    if ask.capability == Capability.DETECT and len(ask.pictures) == 2:
        raise ModelError("this model was not trained on pairs; it takes no reference")
    if len(ask.pictures) != 1:
        raise ModelError(f"{ask.capability} takes one picture, not {len(ask.pictures)}")
    return pictures(ask)[0]


def two_pictures(ask: Ask) -> tuple[Pixels, Pixels]:
    """Return a call's picture and its reference, H × W × 3 each. Raises ModelError on any other number of them."""
    if len(ask.pictures) != 2:
        raise ModelError("this model was trained on pairs; it needs a golden reference beside the picture")
    picture, reference = pictures(ask)
    return picture, reference


def pictures(ask: Ask) -> tuple[Pixels, ...]:
    """Return a call's pictures. Raises ModelError on what is no H × W × 3 of uint8."""
    for pixels in ask.pictures:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or pixels.dtype != np.uint8:
            raise ModelError(f"a picture is HxWx3 of uint8, not {pixels.shape} of {pixels.dtype}")
    return ask.pictures


def min_score(ask: Ask, default: float = 0.25) -> float:
    """Return the least score that a call wants. Raises ModelError on one outside [0, 1]."""
    wanted = float(ask.arguments.get("min_score", default))
    if not 0 <= wanted <= 1:
        raise ModelError(f"min_score is a number in [0, 1], not {wanted}")
    return wanted


class Checkpoint:
    """The base of a family's model: `run` computes on its place, `close` releases what it holds.

    A family sets `network`, offers `prepare`, and answers a batch in `answers`.
    """

    preprocessing = ""
    classes: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec, at: Place, network: Any) -> None:  # noqa: ANN401
        self.spec, self.at, self.network = spec, at, network
        self.dtype, self.device = at.dtype_name, str(at.device)

    def run(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        """Answer a batch of one group; see `workers.models.family.Model`."""
        if self.network is None:
            raise ModelUnavailable("this model was closed")
        with computing(self.at, len(batch)):
            return self.answers(batch)

    def answers(self, batch: Sequence[Prepared]) -> Sequence[Any]:
        """Answer a batch of one group, in order. Called without gradients, memory errors are seen to."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the network's memory."""
        self.network = None
        gc.collect()
        if self.at.device.type == "cuda":
            torch.cuda.empty_cache()
