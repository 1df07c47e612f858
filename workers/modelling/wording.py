"""How questions are put to models that chat, wherever they compute: what is asked for boxes, a caption, JSON."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from domain.errors import ModelError
from workers.imaging.boxes_in_text import BoxFormat

CAPTION = "Describe the picture in one sentence."
CHOOSE = "{}\nAnswer with one of: {options}."
"""How a closed question is put; an answer by a schema likewise."""
BY_SCHEMA = "{}\nAnswer with JSON alone, by this schema: {schema}"
WHERE = (
    'Find every {} in the picture. Answer with a JSON list alone, each item {"KEY": [CORNERS], "label": "..."}, '
    "or [] where there is none."
)
XY, YX = "x0, y0, x1, y1", "y0, x0, y1, x1"
GROUND_PROMPTS: Mapping[BoxFormat, str] = {
    BoxFormat.QWEN: WHERE.replace("KEY", "bbox_2d").replace("CORNERS", XY),
    BoxFormat.QWEN_PIXELS: WHERE.replace("KEY", "bbox_2d").replace("CORNERS", XY),
    BoxFormat.QWEN_TAGS: "Detect the bounding box of {}.",
    BoxFormat.GEMMA: WHERE.replace("KEY", "box_2d").replace("CORNERS", YX),
    BoxFormat.PALIGEMMA: "detect {}",
    BoxFormat.INTERNVL: "Please provide the bounding box coordinate of the region this sentence describes: {}",
    BoxFormat.JSON1000: WHERE.replace("KEY", "box").replace("CORNERS", f"{XY} from 0 to 1000"),
}
"""What to ask in each format of boxes; "{}" stands for what is to be found."""


def filled(template: str, about: str, **more: str) -> str:
    """Return a template with what it is about in place of "{}", and more by name, such as "{options}".

    All at once: what is put in may hold braces of its own.
    """
    places = {"": about, **more}
    return re.sub(r"\{(\w*)\}", lambda found: places.get(found[1], found[0]), template)


def own_pictures(count: int, examples: Sequence[tuple[int, str, str]]) -> int:
    """Return where among the pictures of a call, after those of its examples, those of the question itself begin.

    Raises ModelError where an example speaks of a picture that there is not.
    """
    if not all(0 <= at < count for at, _, _ in examples):
        raise ModelError(f"the examples speak of pictures that are not among the {count} given: {examples}")
    return max((at for at, _, _ in examples), default=-1) + 1


def told_schema(schema: Mapping[str, Any] | None) -> str:
    """Return a schema as a model reads it."""
    return json.dumps(schema, ensure_ascii=False)
