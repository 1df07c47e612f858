"""Drawn chest phantoms as a labelled set on disk: a JSONL file of drafts with their findings, and its pictures."""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2

from domain.errors import InvalidRequest
from workers.training.worlds.phantom_reports import INSTRUCTION
from workers.training.worlds.phantoms import draw

NAME = "drafts.jsonl"


def write(
    out: Path,
    count: int,
    seed: int,
    layouts: Sequence[str],
    size: int = 224,
    advance: Callable[[], None] = lambda: None,
) -> Path:
    """Draw `count` phantoms from seeds `seed … seed + count - 1` into a folder, on all cores; return the JSONL file.

    A line's `group` is its phantom; its findings carry besides their names and sides the region of the lung, the box in
    pixels (xyxy) and the measure. `advance` is called after each. Raises InvalidRequest where the set exists already.
    """
    file = out / NAME
    if file.exists():
        raise InvalidRequest(f"{file} exists already; choose another folder or remove it")
    (out / "images").mkdir(parents=True, exist_ok=True)
    one = partial(_drawn, out / "images", tuple(layouts), size)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool, file.open("w") as lines:
        for told in pool.map(one, range(seed, seed + count), chunksize=16):
            lines.write(f"{json.dumps(told)}\n")
            advance()
    return file


def _drawn(folder: Path, layouts: Sequence[str], size: int, seed: int) -> dict[str, Any]:
    """Draw one phantom, write its picture, and return its line."""
    cv2.setNumThreads(1)
    phantom = draw(seed, size=size, layouts=layouts)
    name = f"{seed:09d}.png"
    cv2.imwrite(str(folder / name), phantom.pixels)
    findings = [
        {"finding": one.name, "side": one.side, "region": one.region, "box": one.box, "measure": one.measure}
        for one in phantom.findings
    ]
    return {
        "image": f"images/{name}",
        "question": INSTRUCTION,
        "answer": phantom.report,
        "findings": findings,
        "layout": phantom.layout,
        "group": f"{seed:09d}",
    }
