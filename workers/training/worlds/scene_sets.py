"""Drawn scenes as labelled sets on disk: a JSONL file of labels, questions, phrases or captions, and its pictures."""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from domain.errors import InvalidRequest
from workers.training.worlds.objects import Pair
from workers.training.worlds.scene_questions import questions
from workers.training.worlds.scene_words import caption, phrases
from workers.training.worlds.scenes import Scene, World, draw

Advance = Callable[[], None]


class About(StrEnum):
    """What the lines of a set tell of a picture."""

    LABELS = "labels"
    QUESTIONS = "questions"
    PHRASES = "phrases"
    CAPTIONS = "captions"


@dataclass(frozen=True)
class Order:
    """What is to be drawn: `side` in pixels, `things` on each picture (None: by chance).

    `shown` takes turns as the first thing of each picture, whose name is its label; where it is empty, all is chance.
    """

    about: About
    world: World
    side: int = 112
    things: int | None = None
    shown: tuple[Pair, ...] = ()


def write(out: Path, count: int, seed: int, order: Order, advance: Advance = lambda: None) -> Path:
    """Draw `count` scenes from seeds `seed … seed + count - 1` into a folder, on all cores; return the JSONL file.

    A line's `group` is its picture. `advance` is called after each picture. Raises InvalidRequest where the folder
    holds such a set already.
    """
    file = out / f"{order.about}.jsonl"
    if file.exists():
        raise InvalidRequest(f"{file} exists already; choose another folder or remove it")
    (out / "images").mkdir(parents=True, exist_ok=True)
    one = partial(_drawn, out / "images", order)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool, file.open("w") as lines:
        for told in pool.map(one, range(seed, seed + count), chunksize=16):
            lines.writelines(f"{json.dumps(line)}\n" for line in told)
            advance()
    return file


def _drawn(folder: Path, order: Order, seed: int) -> list[dict[str, Any]]:
    """Draw one scene, write its picture, and return its lines."""
    cv2.setNumThreads(1)
    wanted = [order.shown[seed % len(order.shown)]] if order.shown else []
    scene = draw(seed, side=order.side, world=order.world, things=order.things, wanted=wanted)
    name = f"{seed:09d}.png"
    cv2.imwrite(str(folder / name), scene.pixels[..., ::-1])
    return [{"image": f"images/{name}", **told, "group": f"{seed:09d}"} for told in _told(scene, order, seed)]


def _told(scene: Scene, order: Order, seed: int) -> Sequence[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    if order.about == About.LABELS:
        return [{"label": scene.things[0].name}]
    if order.about == About.CAPTIONS:
        return [{"text": caption(rng, scene).text}]
    if order.about == About.PHRASES:
        return [{"phrase": one.text, "boxes": [box.xyxy for box in one.boxes]} for one in phrases(scene)]
    asked = questions(rng, scene, order.world)
    return [{"question": q.question, "options": list(q.options), "answer": q.answer, "kind": q.kind} for q in asked]
