"""How the embedded encoder learns: first the eye, patch by patch; then pictures against captions.

The loss on pictures and captions is CLIP's (Radford et al. 2021), with two changes: captions that differ from a scene's
truth in one word stand beside those of the other scenes, and a caption that is true of another scene too is no negative
for that scene.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast

from workers.training.loop import Step
from workers.training.pack.drawing import stream
from workers.training.pack.encoder_examples import VALIDATED, Seen, Told, scenes, seen, seen_batch, told_batch
from workers.training.pack.encoder_network import TEMPLATES, Seeing
from workers.training.pack.precision import quick
from workers.training.worlds.scene_patches import UNSURE, Labels
from workers.training.worlds.scene_words import names
from workers.training.worlds.scenes import TRAINING_WORLD

EYE_BATCH, CAPTION_BATCH = 32, 64
"""Scenes in a step: patches want many steps, captions much company to be told from."""
GROUND_WEIGHT = 0.15
"""What a patch of ground counts for: most patches are ground, and easy."""
EYE_WEIGHT = 0.5
"""What the patches count for beside the captions."""
VALIDATION = 320
CHUNK = 64
TEXT_RATE = 0.5
"""At which share of the rate the side that reads learns: attention wants a gentler one than convolutions do."""


class Labelled(Protocol):
    """Pictures of which it is known what their patches show (see `scene_patches`), N×P."""

    @property
    def kinds(self) -> Labels:
        """What kind of thing each shows."""

    @property
    def colours(self) -> Labels:
        """Which colour."""


class EyeLearner:
    """Learns which kind of thing and which colour each patch shows."""

    watched = "kinds"

    def __init__(self, network: Seeing, seed: int, size: int = EYE_BATCH, validation: int = VALIDATION) -> None:
        self.network: torch.nn.Module = network
        self.rates: Mapping[str, float] = {}
        self._seeing, self._size = network, size
        drawn = scenes(VALIDATED, seed, 0, validation, things=1)
        self._labels = [scene.things[0].name for scene in drawn]
        self._validation = seen(drawn)

    def batches(self, seed: int) -> Iterator[Seen]:
        """Return freshly drawn batches."""
        return stream(partial(seen_batch, seed, self._size))

    def loss(self, batch: Seen) -> Step:
        """Judge what is read off each patch."""
        with quick():
            _, kinds, colours = self._seeing.looked(batch.pixels)
        parts = patch_losses(kinds, colours, batch)
        return Step(parts["kinds"] + parts["colours"], parts, len(batch.pixels))

    def measure(self) -> Mapping[str, float]:
        """Return the share of the patches of things whose kind, and whose colour, is told."""
        kinds, colours = [], []
        for pixels in self.validated():
            with quick():
                _, of_kinds, of_colours = self._seeing.looked(pixels)
            kinds.append(of_kinds.argmax(dim=-1))
            colours.append(of_colours.argmax(dim=-1))
        found = {"kinds": torch.cat(kinds), "colours": torch.cat(colours)}
        true = {"kinds": self._validation.kinds, "colours": self._validation.colours}
        return {name: _right(found[name], torch.from_numpy(true[name])) for name in found}

    def validated(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the pictures that it is measured on, some at a time."""
        pixels = self._validation.pixels
        return (pixels[start : start + CHUNK] for start in range(0, len(pixels), CHUNK))


def _right(found: torch.Tensor, true: torch.Tensor) -> float:
    of_things = true > 0
    return float((found[of_things] == true[of_things]).float().mean())


def patch_losses(kinds: torch.Tensor, colours: torch.Tensor, batch: Labelled) -> dict[str, torch.Tensor]:
    """Return the cross entropies of what patches are read as (N×P×labels), ground counting for less."""
    losses = {}
    for name, found, true in (("kinds", kinds, batch.kinds), ("colours", colours, batch.colours)):
        weight = torch.ones(found.shape[-1])
        weight[0] = GROUND_WEIGHT
        flat, labels = found.flatten(0, 1).float(), torch.from_numpy(true).flatten()
        losses[name] = cross_entropy(flat, labels, weight, ignore_index=UNSURE)
    return losses


class ContrastLearner(EyeLearner):
    """Learns which caption belongs to which picture, without forgetting the patches."""

    watched = "accuracy"

    def __init__(
        self,
        network: Seeing,
        words: PreTrainedTokenizerFast,
        seed: int,
        size: int = CAPTION_BATCH,
        validation: int = VALIDATION,
    ) -> None:
        super().__init__(network, seed, size, validation)
        self.rates = {"clip.text_model": TEXT_RATE}
        self._words = words
        self._names = names(TRAINING_WORLD)
        self._truth = torch.tensor([self._names.index(label) for label in self._labels])

    def batches(self, seed: int) -> Iterator[Seen]:
        """Return freshly drawn batches."""
        return stream(partial(told_batch, seed, self._size))

    def loss(self, batch: Seen) -> Step:
        """Judge which captions are held to fit."""
        assert isinstance(batch, Told)
        with quick():
            pictures, kinds, colours = self._seeing.looked(batch.pixels)
            texts = self._seeing.read(self._tokens(batch.texts))
        contrast = contrast_loss(self._seeing.compared(pictures, texts), torch.from_numpy(batch.true))
        parts = {"captions": contrast, **patch_losses(kinds, colours, batch)}
        eye = parts["kinds"] + parts["colours"]
        return Step(contrast + EYE_WEIGHT * eye, parts, len(batch.pixels))

    def measure(self) -> Mapping[str, float]:
        """Return the share of the pictures of one thing that is told right among all names, and what the eye tells."""
        texts = [template.format(name) for name in self._names for template in TEMPLATES]
        with quick():
            each = torch.cat([self._seeing.read(chunk) for chunk in torch.split(self._tokens(texts), 256)])
            directions = torch.nn.functional.normalize(each.float(), dim=-1)
            labels = directions.reshape(len(self._names), len(TEMPLATES), -1).mean(dim=1)
            pictures = [self._seeing.looked(pixels)[0] for pixels in self.validated()]
        found = self._seeing.compared(torch.cat(pictures), labels).argmax(dim=-1)
        return {"accuracy": float((found == self._truth).float().mean()), **super().measure()}

    def _tokens(self, texts: tuple[str, ...] | list[str]) -> torch.Tensor:
        told = self._words(list(texts), padding=True, truncation=True, return_tensors="pt")
        return torch.as_tensor(told["input_ids"])


def contrast_loss(logits: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return CLIP's loss of N pictures and T ≥ N texts (logits N×T), the n-th text being the n-th picture's.

    A text that is true of a picture without being its own is left out of that picture's comparison.
    """
    own = torch.eye(*true.shape, dtype=torch.bool)
    kept = logits.masked_fill(true & ~own, -torch.inf)
    target = torch.arange(len(logits))
    return (cross_entropy(kept, target) + cross_entropy(kept[:, : len(logits)].T, target)) / 2
