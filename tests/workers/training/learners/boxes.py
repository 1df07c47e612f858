"""A small set of boxes: a bright square on a dark, noisy ground, and in every second picture a dull one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workers.training.coco import Dataset, read
from workers.training.sets.splitting import Division, Parts, split

SIDE = 96
CLASSES = ("bright", "dull")


def boxes(folder: Path, count: int = 8, *, masks: bool = False, pairs: bool = False) -> Parts[Dataset]:
    """Draw the set, read it back and split it: a quarter validates, nothing is held out."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "templates").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for at in range(count):
        pixels = rng.integers(0, 40, (SIDE, SIDE, 3), dtype=np.uint8)
        for first in range(4):  # lines, by which a picture can be laid over its reference
            pixels[first::17] = pixels[:, first::23] = 220
        Image.fromarray(pixels).save(folder / "templates" / f"{at}.png")
        for label in range(1 + at % 2):
            x, y = (int(value) for value in rng.integers(4 + 44 * label, 20 + 44 * label, 2))
            pixels[y : y + 24, x : x + 24] = (240, 110)[label]
            shape = {"segmentation": [[x, y, x + 24, y, x + 24, y + 24, x, y + 24]]} if masks else {}
            annotations.append({"id": len(annotations), "image_id": at, "category_id": 7 + label, **shape})
            annotations[-1]["bbox"] = [x, y, 24, 24]
        Image.fromarray(pixels).save(folder / "images" / f"{at}.png")
        template = {"template": f"{at}.png"} if pairs else {}
        images.append({"id": at, "file_name": f"{at}.png", "width": SIDE, "height": SIDE, **template})
    categories = [{"id": 7 + at, "name": name} for at, name in enumerate(CLASSES)]
    told = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(told))
    return split(read(folder), Division(validation=0.25, held_out=0))
