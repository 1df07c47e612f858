"""What the embedded encoder learns from: batches of drawn scenes with what their patches show and what is said of them.

numpy only, no torch: these are drawn in a process of their own.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workers.training.worlds.scene_patches import Labels, patches
from workers.training.worlds.scene_words import altered, caption, facts
from workers.training.worlds.scenes import TRAINING_WORLD, Scene, draw

SIDE, PATCH = 112, 16
"""The side of a picture, and of a place that the eye tells apart (`eye.PATCH`, in which torch is)."""
LEARNED, VALIDATED = 1, 2
"""The first number of a scene's seed: what is learned from is never what is validated on."""
ALTERED = 2
"""So many captions that differ in one word are drawn for each scene, besides the one that is true."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Scenes as `pixels` N×S×S×3, and what each patch shows: `kinds` and `colours` N×P (see `scene_patches`)."""

    pixels: npt.NDArray[np.uint8]
    kinds: Labels
    colours: Labels


@dataclass(frozen=True, eq=False)
class Told(Seen):
    """Scenes, and T texts of which the n-th is true of the n-th scene; `true` (N×T) is where else a text holds."""

    texts: tuple[str, ...]
    true: npt.NDArray[np.bool_]


def scenes(part: int, seed: int, number: int, size: int, things: int | None = None) -> list[Scene]:
    """Draw the scenes of a batch."""
    return [draw([part, seed, number, index], side=SIDE, things=things) for index in range(size)]


def seen(drawn: list[Scene]) -> Seen:
    """Return scenes with what their patches show."""
    shown = [patches(scene, PATCH) for scene in drawn]
    pixels = np.stack([scene.pixels for scene in drawn])
    return Seen(pixels, np.stack([each.kinds for each in shown]), np.stack([each.colours for each in shown]))


def seen_batch(seed: int, size: int, number: int) -> Seen:
    """Draw a batch for the eye alone."""
    return seen(scenes(LEARNED, seed, number, size))


def told_batch(seed: int, size: int, number: int) -> Told:
    """Draw a batch with captions: a true one of each scene, then such as differ from a thing of it in one word."""
    rng = np.random.default_rng([LEARNED, seed, number])
    drawn = scenes(LEARNED, seed, number, size)
    said = [caption(rng, scene) for scene in drawn]
    for scene in drawn:
        said.extend(
            altered(rng, scene.things[int(rng.integers(len(scene.things)))], TRAINING_WORLD) for _ in range(ALTERED)
        )
    known = [facts(scene) for scene in drawn]
    true = np.array([[each.claim <= of_one for each in said] for of_one in known])
    shown = seen(drawn)
    return Told(shown.pixels, shown.kinds, shown.colours, tuple(each.text for each in said), true)
