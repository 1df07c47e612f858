"""Trying a model of a profile: load it, let it answer one picture, say what that took."""

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from domain.errors import SightlineError
from domain.geometry import Box
from domain.vision import Capability, Prompt
from workers.memory import resident_bytes
from workers.models import family
from workers.models.family import Ask, Model, Pixels, Told
from workers.registry import ModelSpec

MEGABYTE = 1024 * 1024
SHOWN = 120
"""So many characters of an answer are shown."""


@dataclass
class Tried:
    """What came of a model: an answer for each capability, or why not."""

    model: str
    load_s: float | None = None
    memory_mb: float | None = None
    """by which the process grew while it was loaded and answered, on the host"""
    answers: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def works(self) -> bool:
        """Whether it was loaded and answered everything."""
        return self.error is None


def try_out(spec: ModelSpec, sizes: tuple[int, ...] = (1,)) -> Tried:
    """Load a model and let it answer for each of its capabilities, in batches of these sizes. Never raises."""
    tried, before, begun = Tried(spec.name), resident_bytes(), time.monotonic()
    model: Model | None = None
    try:
        model = family.load(spec)
        tried.load_s = round(time.monotonic() - begun, 2)
        for capability in spec.capabilities:
            tried.answers[capability.value] = _answered(model, capability, sizes)
        tried.memory_mb = round((resident_bytes() - before) / MEGABYTE)
    except SightlineError as error:
        tried.error = error.message
    except Exception as error:
        tried.error = f"{type(error).__name__}: {error}"
    if model is not None:
        model.close()
    gc.collect()
    return tried


def sample_asks(capability: Capability) -> Iterator[Ask]:
    """Yield calls that a model of this capability may be asked; it is enough that it takes one of them."""
    pixels = sample_picture()
    arguments: dict[Capability, tuple[dict[str, Any], ...]] = {
        Capability.CLASSIFY: ({"labels": ("a red square", "a sign", "a cat")},),
        Capability.DETECT: ({"min_score": 0.25},),
        Capability.GROUND: ({"phrases": ("a red square",), "min_score": 0.25},),
        Capability.SEGMENT: (
            {"prompt": Prompt(boxes=(Box(x0=40, y0=60, x1=120, y1=140),))},
            {"prompt": Prompt(phrase="a red square")},
        ),
        Capability.ASK: ({"question": "What colour is the square?", "options": ()},),
        Capability.DRAFT: ({"instruction": "Describe the picture."},),
        Capability.IDENTIFY: ({"text": "Betreten der Baustelle verboten", "candidates": ("de", "en")},),
        Capability.TRANSLATE: tuple(
            {"text": "No entry.", "source": source, "target": target} for source, target in (("en", "de"), ("de", "en"))
        ),
        Capability.IMAGINE: ({"prompt": "a red square", "seed": 0},),
    }
    on_pictures = capability not in {Capability.IDENTIFY, Capability.TRANSLATE, Capability.IMAGINE}
    for told in arguments.get(capability, ({},)):
        yield Ask(capability, (pixels,) if on_pictures else (), told)


def sample_picture() -> Pixels:
    """Return a picture with a red square and a word."""
    image = Image.new("RGB", (320, 240), (225, 228, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 60, 120, 140), fill=(200, 30, 40))
    draw.text((150, 80), "EXIT", fill=(20, 40, 60), font=ImageFont.load_default(48))
    return np.asarray(image)


def _answered(model: Model, capability: Capability, sizes: tuple[int, ...]) -> str:
    refused: SightlineError | None = None
    for ask in sample_asks(capability):
        try:
            answer: Any = None
            for size in sizes:
                answer = model.run([model.prepare(ask) for _ in range(size)])[0]
        except SightlineError as error:
            refused = refused or error
            continue
        return _short(answer.value if isinstance(answer, Told) else answer)
    assert refused is not None
    raise refused


def _short(answer: Any) -> str:  # noqa: ANN401  (a domain value)
    if isinstance(answer, np.ndarray):
        return f"a picture of {answer.shape[1]} × {answer.shape[0]}"
    if isinstance(answer, tuple):
        if answer and isinstance(answer[0], float):
            return f"a vector of {len(answer)}"
        return f"{len(answer)} found" + (f", first: {_short(answer[0])}" if answer else "")
    told = next(
        (str(getattr(answer, name)) for name in ("text", "label", "name", "code", "phrase") if hasattr(answer, name)),
        None,
    )
    said = told if told is not None else type(answer).__name__ if not isinstance(answer, str) else answer
    return said if len(said) <= SHOWN else f"{said[: SHOWN - 1]}…"
