"""A data set as an endless stream of training batches: read, letterboxed, turned, tinted. numpy only, no torch."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from domain.errors import InvalidRequest
from workers.imaging.letterbox import PADDING, letterbox
from workers.training.coco import CocoAnnotation, CocoImage, Dataset, bits

MASK_RATIO = 2
"""Mask targets are this many times smaller than the picture; at 4 a thin scratch would vanish."""

ZOOM = (0.65, 1.2)
"""Pictures that are not square are served smaller than they were drawn; a share of the training looks alike."""
ZOOM_SHARE = 0.5
SMALLEST_MASK = 12
"""What a zoom leaves of an object counts from this many pixels on."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Batch:
    """A step's pictures and objects.

    `images` is Nx3xSxS RGB. `owners`, `labels` and `boxes` have a row per object: its picture's position, its class,
    and centre x, centre y, width, height in shares of S. `masks` is Nx(S/2)x(S/2): k where the k-th object of its
    picture is, otherwise 0.
    """

    images: Bytes
    owners: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]
    masks: Bytes


def batches(dataset: Dataset, *, side: int, size: int, seed: int) -> Iterator[Batch]:
    """Yield batches of `size` pictures for ever, each picture once per round, in an order given by the seed."""
    rng = np.random.default_rng(seed)
    pairs = list(dataset.pairs())
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting.extend(rng.permutation(len(pairs)).tolist())
        chosen, waiting = waiting[:size], waiting[size:]
        yield _collate([_sample(dataset, *pairs[index], side, rng) for index in chosen])


Sample = tuple[Bytes, list[int], list[list[float]], Bytes]


def _sample(
    dataset: Dataset, image: CocoImage, objects: list[CocoAnnotation], side: int, rng: np.random.Generator
) -> Sample:
    """Return one picture, its classes, boxes and object map, turned and tinted at random."""
    read = cv2.imread(str(dataset.path(image)), cv2.IMREAD_COLOR_RGB)
    if read is None:
        raise InvalidRequest(f"{dataset.path(image)} cannot be read as an image")
    view = _View.random(side, rng)
    index = dataset.class_index()
    masks = [(index[item.category_id], bits(item, image).astype(np.uint8)) for item in objects]
    masks.sort(key=lambda item: -int(item[1].sum()))  # a small object lies over a large one
    labels: list[int] = []
    boxes: list[list[float]] = []
    drawn = np.zeros((side // MASK_RATIO, side // MASK_RATIO), dtype=np.uint8)
    for label, mask in masks:
        square = view.of(letterbox(mask, side, padding=0, nearest=True), padding=0, nearest=True)
        if square.sum() < SMALLEST_MASK:
            continue
        labels.append(label)
        boxes.append(_box(square))
        share = cv2.resize(square * 255, drawn.shape, interpolation=cv2.INTER_AREA)
        drawn[share >= 127] = len(labels)
    return _tinted(view.of(letterbox(read.astype(np.uint8), side)), rng), labels, boxes, drawn


@dataclass(frozen=True)
class _View:
    """How a square is looked at: turned by quarters, mirrored, and zoomed about some point."""

    quarters: int
    mirror: bool
    zoom: npt.NDArray[np.float64] | None

    @classmethod
    def random(cls, side: int, rng: np.random.Generator) -> "_View":
        zoom = None
        if rng.random() < ZOOM_SHARE:
            scale = rng.uniform(*ZOOM)
            left, top = rng.uniform(0, 1, 2) * (1 - scale) * side
            zoom = np.array([[scale, 0, left], [0, scale, top]])
        return cls(int(rng.integers(4)), bool(rng.random() < 0.5), zoom)

    def of(self, square: Bytes, *, padding: int = PADDING, nearest: bool = False) -> Bytes:
        """Return the view of a square picture or mask."""
        seen = np.rot90(square, self.quarters)
        seen = np.ascontiguousarray(seen[:, ::-1] if self.mirror else seen)
        if self.zoom is None:
            return seen
        how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        fill = (padding,) * 3
        return np.asarray(cv2.warpAffine(seen, self.zoom, seen.shape[:2], flags=how, borderValue=fill), dtype=np.uint8)


def _tinted(square: Bytes, rng: np.random.Generator) -> Bytes:
    """Change exposure, contrast and white balance a little."""
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, 3)
    return np.clip(square * gain + rng.uniform(-15, 15), 0, 255).astype(np.uint8)


def _box(square: Bytes) -> list[float]:
    """Return the box of the set pixels: centre x, centre y, width, height in shares of the side."""
    rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    side = square.shape[0]
    return [(x0 + x1) / 2 / side, (y0 + y1) / 2 / side, (x1 - x0) / side, (y1 - y0) / side]


def _collate(samples: list[Sample]) -> Batch:
    owners = [position for position, (_, labels, _, _) in enumerate(samples) for _ in labels]
    return Batch(
        images=np.stack([image.transpose(2, 0, 1) for image, _, _, _ in samples]),
        owners=np.array(owners, dtype=np.int64),
        labels=np.array([label for _, labels, _, _ in samples for label in labels], dtype=np.int64),
        boxes=np.array([box for _, _, boxes, _ in samples for box in boxes], dtype=np.float32).reshape(-1, 4),
        masks=np.stack([masks for _, _, _, masks in samples]),
    )
