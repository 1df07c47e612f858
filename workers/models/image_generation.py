"""The family `image_generation`: pictures from texts, for `Capability.IMAGINE`.

Whatever diffusers loads for text to image: Stable Diffusion, FLUX, Z-Image, Qwen-Image and so on. A call's seed decides
the noise that its picture is made of, with a generator of its own on the CPU: the picture is the same in company as
alone, up to rounding (a value of a pixel may differ by one). Prompts of different lengths in tokens never share a
batch, since some pipelines pad to the longest.

A checkpoint that comes with a safety checker keeps it; a picture that it withholds is a ModelError. Code that a
checkpoint carries is not run.
"""

import copy
import inspect
import math
import threading
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field

from domain.errors import ModelError, ModelUnavailable
from domain.vision import Capability
from workers.modelling.checkpoint import Checkpoint, Place, folder, place, read_in
from workers.modelling.options import Options as Common
from workers.modelling.options import options
from workers.models.family import Ask, Pixels, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")  # one of its many pipelines uses it
    from diffusers import AutoPipelineForText2Image

ARGUMENTS = {"steps": "num_inference_steps", "guidance": "guidance_scale", "height": "height", "width": "width"}
"""The options, and what pipelines call them."""
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4")
USUAL_PIXELS = 1024 * 1024
"""What a picture is taken to weigh where the profile does not say its size."""
SEEDS = 2**63


class Options(Common):
    """The options of a row; see `load`."""

    steps: int | None = Field(default=None, ge=1)
    guidance: float | None = Field(default=None, ge=0)
    height: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)


def load(spec: ModelSpec) -> "ImageGeneration":
    """Load a pipeline.

    Options, each by default as the pipeline has it: `steps` (of denoising), `guidance` (how closely to follow the
    prompt), `height` and `width` in pixels; and `threads`. Raises ModelUnavailable.
    """
    told = options(spec, Options, {Capability.IMAGINE})
    path, at = folder(spec, marker="model_index.json", weights="*/*.safetensors"), place(spec)
    code = sorted(file.name for file in path.rglob("*.py"))
    if code:
        raise ModelUnavailable(f"model {spec.name!r}: {path} carries code, which is never run: {', '.join(code)}")
    kind: Any = AutoPipelineForText2Image
    pipeline = kind.from_pretrained(path, dtype=at.dtype, use_safetensors=True, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline = pipeline.to(at.device)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            read_in(part)
    return ImageGeneration(spec, at, pipeline, told)


@dataclass(frozen=True)
class _Call:
    prompt: str
    seed: int
    cut: int
    """so many tokens of the prompt no text encoder sees"""


class ImageGeneration(Checkpoint):
    """A loaded pipeline."""

    preprocessing = "image-generation/1"
    scores = ScoreKind.NONE

    def __init__(self, spec: ModelSpec, at: Place, pipeline: Any, told: Options) -> None:  # noqa: ANN401
        super().__init__(spec, at, pipeline)
        self._taken = inspect.signature(pipeline.__call__).parameters
        self._settings = _settings(spec, pipeline, self._taken, told)
        self._pixels = self._settings.get("height", 0) * self._settings.get("width", 0) or USUAL_PIXELS
        # A tokenizer keeps in itself how to pad and to cut, and the pipeline's own are the device's thread's.
        found = (getattr(pipeline, name, None) for name in TOKENIZERS)
        self._tokenizers = [copy.deepcopy(tokenizer) for tokenizer in found if tokenizer is not None]
        most = self._taken["max_sequence_length"].default if "max_sequence_length" in self._taken else math.inf
        self._limits = [min(tokenizer.model_max_length, most) for tokenizer in self._tokenizers]
        self._lock = threading.Lock()

    def prepare(self, ask: Ask) -> Prepared:
        """Count the prompt's tokens. Raises ModelError on another capability, no words, or what is no seed."""
        if ask.capability != Capability.IMAGINE:
            raise ModelError(f"this model imagines; it cannot {ask.capability}")
        prompt, seed = str(ask.arguments["prompt"]), ask.arguments.get("seed", 0)
        if not prompt.strip():
            raise ModelError("a prompt needs words")
        if not isinstance(seed, int) or not 0 <= seed < SEEDS:
            raise ModelError(f"a seed is a whole number from 0 to {SEEDS - 1}, not {seed!r}")
        with self._lock:
            lengths = tuple(len(tokenizer(prompt, verbose=False).input_ids) for tokenizer in self._tokenizers)
        beyond = (max(length - limit, 0) for length, limit in zip(lengths, self._limits, strict=True))
        call = _Call(prompt, seed, min(beyond, default=0))
        return Prepared(call, group=lengths, pixels=self._pixels, prompt=prompt)

    def answers(self, batch: Sequence[Prepared]) -> list[Pixels | Told]:
        """Draw a picture, H × W × 3, for each prompt. It ends between two steps once nobody wants any of them."""
        calls: list[_Call] = [prepared.payload for prepared in batch]

        def look(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
            pipeline._interrupt = all(prepared.stopped.is_set() for prepared in batch)
            return tensors

        drawn = self.network(
            prompt=[call.prompt for call in calls],
            generator=[torch.Generator("cpu").manual_seed(call.seed) for call in calls],
            output_type="np",
            **self._settings,
            **({"callback_on_step_end": look} if "callback_on_step_end" in self._taken else {}),
        )
        if any(getattr(drawn, "nsfw_content_detected", None) or ()):
            raise ModelError("the checkpoint's safety checker withholds the picture")
        if not np.isfinite(drawn.images).all():
            raise ModelError("the network's output is not finite")
        pictures = (drawn.images * 255).round().astype(np.uint8)
        return [
            Told(pixels, {"cut_tokens": call.cut}) if call.cut else pixels
            for pixels, call in zip(pictures, calls, strict=True)
        ]


def _settings(spec: ModelSpec, pipeline: Any, taken: Collection[str], told: Options) -> dict[str, Any]:  # noqa: ANN401
    """Return what the pipeline is called with besides prompts. Raises ModelUnavailable on what it cannot take."""
    given = told.model_dump(exclude_none=True)
    settings = {name: given[option] for option, name in ARGUMENTS.items() if option in given}
    unknown = settings.keys() - set(taken)
    if unknown:
        raise ModelUnavailable(f"model {spec.name!r}: a {type(pipeline).__name__} takes no {', '.join(unknown)}")
    side = int(getattr(pipeline, "vae_scale_factor", 8))
    if any(settings.get(name, side) % side for name in ("height", "width")):
        raise ModelUnavailable(f"model {spec.name!r}: height and width are multiples of {side}, not {settings}")
    return settings
