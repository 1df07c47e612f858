"""Samples of the application `vision` that are drawn: what the embedded encoder and VLM are to be shown and asked.

`python -m workers.training.worlds.vision_samples` draws them anew over the ones that ship. What a sample expects is
what was drawn. Grounds, layouts and seeds are none that are trained on.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from domain.applications.vision.contract import APPLICATION
from workers.models.family import Pixels
from workers.training.worlds import phantoms, scenes
from workers.training.worlds.objects import Pair
from workers.training.worlds.phantom_reports import INSTRUCTION
from workers.training.worlds.phantoms import HELD_OUT_LAYOUTS
from workers.training.worlds.scenes import HELD_OUT_WORLD, Scene

SIDE = 224
"""Width and height of a sample in pixels."""


@dataclass(frozen=True)
class Drawn:
    """A sample: a picture, what is asked of it, and what is right."""

    pixels: Pixels
    parameters: Mapping[str, Any]
    expect: Mapping[str, Any]


def _scene(seed: int, *wanted: Pair) -> Scene:
    scene = scenes.draw(seed, side=SIDE, world=HELD_OUT_WORLD, things=len(wanted), wanted=wanted)
    if tuple(thing.pair for thing in scene.things) != wanted:
        raise AssertionError(f"seed {seed} has no room for {wanted}")
    return scene


def classify() -> Drawn:
    """One thing, to be told from others that differ from it in a word."""
    labels = ["red fish", "purple fish", "green fish", "purple cat", "purple house", "no-entry sign"]
    scene = _scene(6_000_000, ("purple", "fish"))
    return Drawn(scene.pixels, {"capability": "classify", "labels": labels}, _told(labels=["purple fish"]))


def ask() -> Drawn:
    """Several things of a kind beside another, to be counted."""
    scene = _scene(6_000_010, ("red", "star"), ("red", "star"), ("blue", "house"))
    asked = {"capability": "ask", "question": "How many stars are there?", "options": ["one", "two", "three", "four"]}
    return Drawn(scene.pixels, asked, _told(texts=["two"]))


def ground() -> Drawn:
    """Two things, one of which is to be pointed at."""
    scene = _scene(6_000_020, ("yellow", "car"), ("blue", "tree"))
    return Drawn(
        scene.pixels, {"capability": "ground", "phrases": ["yellow car"]}, _told(labels=["yellow car"], count=1)
    )


def draft() -> Drawn:
    """A phantom with an effusion."""
    phantom = phantoms.draw(6_000_030, size=SIDE, layouts=HELD_OUT_LAYOUTS, findings=[("pleural effusion", "left")])
    pixels = np.repeat(phantom.pixels[..., None], 3, axis=2)
    said = {"words": ["left pleural effusion", "No pneumothorax"]}
    return Drawn(pixels, {"capability": "draft", "instruction": INSTRUCTION}, _told(count=1, **said))


def _told(**expected: Any) -> dict[str, Any]:  # noqa: ANN401  (as JSON has it)
    return {"steps": [{"step": 0, **expected}]}


PLANS: Mapping[str, Callable[[], Drawn]] = {
    "name-the-thing": classify,
    "count-the-stars": ask,
    "point-at-the-car": ground,
    "draft-a-report": draft,
}


def write(name: str, drawn: Drawn, folder: Path) -> None:
    """Write a sample's picture beside its JSON file."""
    image = f"{name}.png"
    cv2.imwrite(str(folder / image), drawn.pixels[..., ::-1])
    told = {"images": [image], "parameters": drawn.parameters, "expect": drawn.expect}
    (folder / f"{name}.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")


def main() -> None:
    """Draw all samples over the ones that ship."""
    for name, plan in PLANS.items():
        write(name, plan(), APPLICATION.samples)


if __name__ == "__main__":
    main()
