"""Drawn circuit boards as a labelled set on disk: pictures, golden references, and what is wrong, in COCO's form."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from domain.errors import InvalidRequest
from workers.training.coco import ANNOTATIONS, Dataset, read
from workers.training.worlds.circuits import CLASSES, Pixels, draw


def write(
    out: Path, count: int, seed: int, *, size: tuple[int, int] = (320, 320), advance: Callable[[], None] = lambda: None
) -> Dataset:
    """Draw `count` pairs of `size` (height, width) from seeds `seed … seed + count - 1`; each board is its own group.

    `advance` is called after each. Raises InvalidRequest where the folder holds a data set already.
    """
    if (out / ANNOTATIONS).exists():
        raise InvalidRequest(f"{out} holds a data set already; choose another folder or remove it")
    for folder in ("images", "templates"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for number in range(seed, seed + count):
        pair, name = draw(number, size=size), f"{number:09d}.png"
        _save(out / "images" / name, pair.picture)
        _save(out / "templates" / name, pair.reference)
        size_told = {"height": size[0], "width": size[1]}
        images.append({"id": number, "file_name": name, "template": name, "group": f"board {number}", **size_told})
        for flaw in pair.flaws:
            box = [flaw.box.x0, flaw.box.y0, flaw.box.width, flaw.box.height]
            what = {"image_id": number, "category_id": CLASSES.index(flaw.label) + 1, "iscrowd": 0}
            objects.append({"id": len(objects) + 1, **what, "bbox": box, "area": flaw.box.area})
        advance()
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "annotations": objects, "categories": categories}
    (out / ANNOTATIONS).write_text(json.dumps(content), "utf-8")
    return read(out)


def _save(path: Path, pixels: Pixels) -> None:
    cv2.imwrite(str(path), pixels[..., ::-1])
