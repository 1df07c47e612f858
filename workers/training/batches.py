"""A data set as an endless stream of training batches: read, letterboxed, turned, tinted. numpy only, no torch."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from domain.images import ImageLimits
from workers.imaging.letterbox import PADDING, Fit, letterbox
from workers.judging import Look
from workers.training import coco_masks
from workers.training.coco import CocoAnnotation, CocoImage, Dataset, runs, sized

MASK_RATIO = 2
"""Mask targets are this many times smaller than the picture; at 4 a thin scratch would vanish."""

ZOOM = (0.65, 1.2)
"""Pictures that are not square are served smaller than they were drawn; a share of the training looks alike."""
ZOOM_SHARE = 0.5
SMALLEST_MASK = 12
"""What a zoom leaves of an object counts from this many pixels on."""

Bytes = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]
"""Which object each pixel belongs to: a byte would not do, as pictures with more than 255 objects are many."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A step's pictures and objects.

    `images` is Nx3xSxS RGB. `owners`, `labels` and `boxes` have a row per object: its picture's position, its class,
    and centre x, centre y, width, height in shares of S. `masks` is Nx(S/2)x(S/2): k where the k-th object of its
    picture is, otherwise 0; 0 everywhere where no masks are learnt.
    """

    images: Bytes
    owners: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]
    masks: Places


def batches(
    dataset: Dataset, *, side: int, size: int, seed: int, masks: bool = True, look: Look | None = None
) -> Iterator[Batch]:
    """Yield batches of `size` pictures for ever, each picture once per round, in an order given by the seed.

    Without `masks` boxes are moved as they are, and no mask is drawn. Crowds are left out. Pictures are read by `look`,
    within the usual limits where none is given: as they are served. Raises what that raises, and as `coco.runs` does.
    """
    rng = np.random.default_rng(seed)
    sampler = _Sampler(dataset.without_crowds(), side, masks, look or Look(ImageLimits()))
    pairs = list(sampler.dataset.pairs())
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting.extend(rng.permutation(len(pairs)).tolist())
        chosen, waiting = waiting[:size], waiting[size:]
        yield _collate([sampler.sample(*pairs[index], rng) for index in chosen])


Sample = tuple[Bytes, list[int], list[list[float]], Places]
"""A picture, its classes, its boxes, and which object each pixel belongs to."""


@dataclass(frozen=True)
class _Sampler:
    """What makes an example of a picture: turned and tinted at random."""

    dataset: Dataset
    side: int
    masks: bool
    look: Look

    def sample(self, image: CocoImage, objects: list[CocoAnnotation], rng: np.random.Generator) -> Sample:
        """Return one picture."""
        pixels = sized(self.look, self.dataset, image)
        view = _View.random(self.side, rng)
        if self.masks:
            found = self._drawn(image, objects, view)
        else:
            found = self._moved(Fit(pixels.shape[0], pixels.shape[1], self.side), objects, view)
        return _tinted(view.of(letterbox(pixels, self.side)), rng), *found

    def _drawn(
        self, image: CocoImage, objects: list[CocoAnnotation], view: "_View"
    ) -> tuple[list[int], list[list[float]], Places]:
        """Draw the masks, one at a time: a small object lies over a large one."""
        index, drawn = self.dataset.class_index(), self._nothing()
        told = [(index[item.category_id], runs(item, image)) for item in objects]
        told.sort(key=lambda item: -coco_masks.area(item[1]))
        labels: list[int] = []
        boxes: list[list[float]] = []
        for label, mask in told:
            bits = coco_masks.decoded(mask).astype(np.uint8)
            square = view.of(letterbox(bits, self.side, padding=0, nearest=True), padding=0, nearest=True)
            if square.sum() < SMALLEST_MASK:
                continue
            labels.append(label)
            boxes.append(_box(square))
            share = cv2.resize(square * 255, drawn.shape, interpolation=cv2.INTER_AREA)
            drawn[share >= 127] = len(labels)
        return labels, boxes, drawn

    def _moved(
        self, fit: Fit, objects: list[CocoAnnotation], view: "_View"
    ) -> tuple[list[int], list[list[float]], Places]:
        """Move the boxes."""
        index = self.dataset.class_index()
        corners = np.array([item.bbox for item in objects], dtype=np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        squared = corners * np.tile(fit.scale, 2) + np.tile((fit.left, fit.top), 2)
        x0, y0, x1, y1 = view.boxes(squared, self.side).T
        kept = np.flatnonzero((x1 - x0) * (y1 - y0) >= SMALLEST_MASK)
        moved = np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], axis=1)[kept] / self.side
        return [index[objects[at].category_id] for at in kept], moved.tolist(), self._nothing()

    def _nothing(self) -> Places:
        return np.zeros((self.side // MASK_RATIO, self.side // MASK_RATIO), dtype=np.int32)


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

    def boxes(self, boxes: Corners, side: int) -> Corners:
        """Return where boxes (n x 4, xyxy) of a square of that side lie in the view, within the square."""
        x0, y0, x1, y1 = boxes.T
        for _ in range(self.quarters):  # np.rot90 turns counter-clockwise: (x, y) goes to (y, side - x)
            x0, y0, x1, y1 = y0, side - x1, y1, side - x0
        if self.mirror:
            x0, x1 = side - x1, side - x0
        seen = np.stack([x0, y0, x1, y1], axis=1)
        if self.zoom is not None:
            scale = self.zoom[0, 0]  # of the pixels' centres, which lie half a pixel from their edges
            seen = seen * scale + np.tile(self.zoom[:, 2], 2) + (1 - scale) / 2
        return np.asarray(seen.clip(0, side))


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
