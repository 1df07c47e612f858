"""Defects for training, drawn by a model that makes pictures from texts, onto pictures of good parts.

The model gives what the defect is made of, a patch; where it lies and what shape it has is decided here, so that box
and mask are known exactly. What cannot be told from the ground is drawn again: a label on it would teach wrong.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from domain.errors import InvalidRequest
from domain.images import ImageLimits
from domain.vision import Capability
from workers.imaging.decode import decode
from workers.imaging.masks import encode
from workers.models.family import Ask, Model, Pixels, Told, load
from workers.registry import load_profile
from workers.training.coco import ANNOTATIONS, Dataset, annotation, read
from workers.training.worlds.defects import PAINTERS, Bits
from workers.training.worlds.surfaces import SMALLEST_AREA, TRIES

SHAPES = {**PAINTERS, "hole": PAINTERS["pit"]}
"""What a defect's outline is drawn by: thin lines, jagged ones, ellipses, rippled blobs, corners."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
DRAWN_SIDE = 1024
"""Outlines are drawn at most so large (the shorter side) and then enlarged."""
EDGE = 2.0
"""Within so much of its outline, in 256ths of the shorter side, a defect goes over into the ground."""
THINNEST = 0.75
"""How much of the ground a defect covers at least; the rest shows through."""
SHADE = 20.0
"""How far light and shadow of the ground reach: deviation in 256ths of the shorter side."""
FAINTEST = 12.0
"""What a defect must differ from the ground by, in grey levels of 255, on average over its mask."""
PATCHES = 4
"""So many patches are asked for before a prompt is given up."""

Colours = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Kind:
    """A class of defects: its name in the data set, the shape it has, and what the model is asked for."""

    label: str
    shape: str
    prompt: str


@dataclass(frozen=True)
class Order:
    """What to draw: kinds in turn, onto good pictures at random (each as often as any other), from a seed."""

    good: Sequence[Path]
    kinds: Sequence[Kind]
    count: int
    seed: int
    clean: int = 0
    """so many pictures more, without a defect"""


@dataclass(frozen=True, eq=False)
class _Defect:
    pixels: Pixels
    mask: Bits
    patch_seed: int


def kinds_of(classes: Sequence[str], prompts: Sequence[str]) -> list[Kind]:
    """Read classes, `scratch` or `dent=pit` for one that is not called as its shape, with a prompt for each.

    Raises InvalidRequest on an unknown shape, or where a prompt is missing.
    """
    if len(prompts) != len(classes):
        raise InvalidRequest(f"{len(classes)} classes and {len(prompts)} prompts: give one --prompt for each --class")
    kinds = []
    for told, prompt in zip(classes, prompts, strict=True):
        label, _, shape = (part.strip() for part in told.partition("="))
        if not label or (shape or label) not in SHAPES:
            raise InvalidRequest(
                f"the class {told!r} has no shape; write NAME=SHAPE with one of {', '.join(SHAPES)}, as in dent=pit"
            )
        kinds.append(Kind(label, shape or label, prompt))
    return kinds


def good_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder, by name. Raises InvalidRequest where there is none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not found:
        raise InvalidRequest(f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))})")
    return found


@contextmanager
def imaginer(profile: str, name: str | None) -> Iterator[Model]:
    """Load the profile's model that imagines, or the one of that name; it is closed in the end.

    Raises InvalidRequest where the profile has none, ModelUnavailable where it cannot be loaded.
    """
    spec = load_profile(profile).find(Capability.IMAGINE, name)
    if spec is None:
        raise InvalidRequest(
            f"the profile {profile} has no model for imagine; add a row of the family image_generation and name it "
            f"under [defaults], or say which with --model"
        )
    model = load(spec)
    try:
        yield model
    finally:
        model.close()


def write_imagined(
    out: Path, model: Model, order: Order, limits: ImageLimits, advance: Callable[[], None] = lambda: None
) -> Dataset:
    """Draw a new data set: pictures with a defect each, then clean ones. The same order, the same bytes.

    Raises InvalidRequest where the folder holds a data set already, a picture leaves no room for a defect, or what the
    model draws cannot be told from the ground; ImageRejected on a picture that cannot be read; what the model raises.
    """
    if (out / ANNOTATIONS).exists():
        raise InvalidRequest(f"{out} holds a data set already; choose another folder or remove it")
    (out / "images").mkdir(parents=True, exist_ok=True)
    labels = list(dict.fromkeys(one.label for one in order.kinds))
    images, annotations = [], []
    for number, path in enumerate(_shuffled(order), start=1):
        ground = decode(path.read_bytes(), limits, path.name).pixels
        told: dict[str, Any] = {"good_picture": path.name}
        if number <= order.count:
            one = order.kinds[(number - 1) % len(order.kinds)]
            defect = _drawn(model, one, ground, np.random.default_rng((order.seed, number)), path)
            ground, told["patch_seed"] = defect.pixels, defect.patch_seed
            annotations.append(annotation(number, labels.index(one.label) + 1, encode(defect.mask), id=number))
        name = f"{number:06d}.png"
        Image.fromarray(ground).save(out / "images" / name)
        images.append({"id": number, "file_name": name, "height": len(ground), "width": len(ground[0]), **told})
        advance()
    categories = [{"id": index, "name": label} for index, label in enumerate(labels, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories, "info": _info(order)}
    (out / ANNOTATIONS).write_text(json.dumps(content), "utf-8")
    return read(out)


def _shuffled(order: Order) -> Iterator[Path]:
    """Yield as many good pictures as are ordered; taken in turn, one would always get the same kind of defect."""
    rng, left = np.random.default_rng(order.seed), order.count + order.clean
    while left > 0:
        for index in rng.permutation(len(order.good))[:left]:
            yield order.good[index]
        left -= len(order.good)


def _drawn(model: Model, one: Kind, ground: Pixels, rng: np.random.Generator, path: Path) -> _Defect:
    mask = _outline(one.shape, ground.shape[:2], rng, path)
    for patch_seed, patch in _patches(model, one.prompt, rng):
        pixels = _blended(ground, _over(patch, mask, rng), mask, rng)
        if np.abs(pixels[mask].astype(float) - ground[mask]).mean() >= FAINTEST:
            return _Defect(pixels, mask, patch_seed)
    raise InvalidRequest(
        f"of {PATCHES} patches for {one.prompt!r} none differs from {path.name} by {FAINTEST:g} grey levels where the "
        f"{one.label} lies, and nobody would see it; ask for something darker, brighter or of another colour"
    )


def _outline(shape: str, size: tuple[int, int], rng: np.random.Generator, path: Path) -> Bits:
    """Return a defect's mask, H × W. Raises InvalidRequest where none finds room."""
    scale = min(1.0, DRAWN_SIDE / min(size))
    rows, columns = (max(round(side * scale), 1) for side in size)
    unit = min(rows, columns) / 256
    for _ in range(TRIES):
        throwaway = np.full((rows, columns, 3), 0.5, dtype=np.float32)
        drawn = SHAPES[shape](rng, throwaway, unit, np.array([1.0, 0.0]))
        if drawn.sum() >= max(SMALLEST_AREA * unit**2, 1):
            whole = cv2.resize(drawn.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
            return np.asarray(whole > 0.5)
    raise InvalidRequest(f"{path.name}: {size[1]} × {size[0]} pixels leave no room for a {shape}; give larger pictures")


def _patches(model: Model, prompt: str, rng: np.random.Generator) -> Iterator[tuple[int, Pixels]]:
    for _ in range(PATCHES):
        seed = int(rng.integers(2**31))
        answer: Any = model.run([model.prepare(Ask(Capability.IMAGINE, (), {"prompt": prompt, "seed": seed}))])[0]
        yield seed, answer.value if isinstance(answer, Told) else answer


def _over(patch: Pixels, mask: Bits, rng: np.random.Generator) -> Pixels:
    """Lay a patch over the box of a mask, enlarged to cover it, or a part of it at its own size; H × W × 3."""
    box = encode(mask).box
    left, top, width, height = (round(value) for value in (box.x0, box.y0, box.width, box.height))
    scale = max(width / patch.shape[1], height / patch.shape[0], 1.0)
    size = (max(round(patch.shape[1] * scale), width), max(round(patch.shape[0] * scale), height))
    large = cv2.resize(patch, size, interpolation=cv2.INTER_CUBIC)
    x, y = int(rng.integers(size[0] - width + 1)), int(rng.integers(size[1] - height + 1))
    over = np.zeros((*mask.shape, 3), dtype=np.uint8)
    over[top : top + height, left : left + width] = large[y : y + height, x : x + width]
    return over


def _blended(ground: Pixels, over: Pixels, mask: Bits, rng: np.random.Generator) -> Pixels:
    """Blend with a soft edge, under the ground's light, some of the ground showing through.

    Poisson blending would fit the colours of a defect to those around it, and nothing is left of a scratch or a hole.
    """
    unit = min(mask.shape) / 256
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) / max(EDGE * unit, 1.0)
    cover = np.clip(depth, 0, 1)[..., None] * rng.uniform(THINNEST, 1.0)
    grey = _lit(ground, unit)
    light = (grey / max(float(grey[mask].mean()), 1.0))[..., None]
    mixed: Colours = ground + cover * (over * light - ground)
    return np.asarray(np.clip(mixed + 0.5, 0, 255), dtype=np.uint8)


def _lit(ground: Pixels, unit: float) -> Colours:
    """Return how bright the ground is without its texture, H × W; computed small, as nothing small is left of it."""
    height, width = ground.shape[:2]
    step = max(unit, 1.0)
    small = cv2.resize(
        ground, (max(round(width / step), 1), max(round(height / step), 1)), interpolation=cv2.INTER_AREA
    )
    smooth = cv2.GaussianBlur(small.mean(axis=2, dtype=np.float32), (0, 0), SHADE * unit / step)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR))


def _info(order: Order) -> dict[str, Any]:
    kinds = [vars(one) for one in order.kinds]
    return {"description": "defects imagined by a model on pictures of good parts", "kinds": kinds, "seed": order.seed}
