"""A set of pictures with golden references as an endless stream of training batches: windows, as pairs are served.

Each pair is registered once and looked at as `workers/modelling/pairs.py` does in serving. A visit gives a window about
each object, windows about spots that are none (hard negatives), and one anywhere. numpy and OpenCV only, no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from domain.errors import ImageRejected, InvalidRequest, ModelError, RegistrationFailed
from domain.geometry import Box
from domain.images import ImageLimits
from workers.imaging.registration import register
from workers.judging import Look
from workers.modelling.pairs import Pairs, Window, cut, stacked, window_about, windows
from workers.training.batches import MASK_RATIO, Batch
from workers.training.coco import CocoAnnotation, CocoImage, Dataset, sized

KEPT_BYTES = 1_500_000_000
"""Registered pairs are kept up to so much memory; those beyond are registered anew at each visit."""
ROUND = 16
"""The windows of so many pairs are mixed before batches are made of them."""
JITTER = 0.3
"""Windows lie off their object by up to this share of their side."""
ZOOM = (0.85, 1.2)
VISIBLE = 0.6
"""An object counts in a window that shows at least this share of its box."""
LARGEST_SHARE = 0.8
"""Most objects fill no more of a window's side: the rest shows what is around them."""
SIDES = (64, 96, 128, 160, 192, 256)

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Pair:
    """A registered pair: its channels, where it differs, and its objects' labels and boxes (xyxy, n × 4)."""

    channels: Bytes
    spots: list[Window]
    labels: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]


def suited(dataset: Dataset) -> Pairs:
    """Return how to look at a set's pairs: windows into which 19 of 20 of its objects fit with what is around them.

    Raises InvalidRequest where an image has no reference.
    """
    lacking = [image.file_name for image in dataset.content.images if image.template is None]
    if lacking:
        raise InvalidRequest(
            f"{len(lacking)} of {len(dataset.content.images)} images have no `template`, such as {lacking[0]}; a set "
            f"is trained on pairs where each has one"
        )
    longest = [max(item.bbox[2:]) for item in dataset.without_crowds().content.annotations] or [
        SIDES[0] * LARGEST_SHARE
    ]
    wanted = float(np.quantile(longest, 0.95)) / LARGEST_SHARE
    return Pairs(window=next((side for side in SIDES if side >= wanted), SIDES[-1]))


@dataclass
class PairStream:
    """The batches of a set of pairs, for ever, in an order given by the seed: each pair once per round.

    `refused` names the pairs that could not be registered and why; they are left out, as crowds are.
    """

    dataset: Dataset
    how: Pairs
    side: int
    size: int
    seed: int
    look: Look = field(default_factory=lambda: Look(ImageLimits()))
    refused: dict[str, str] = field(default_factory=dict)
    _kept: dict[int, _Pair | None] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches of `size` windows. Raises InvalidRequest where no pair at all can be registered."""
        rng = np.random.default_rng(self.seed)
        waiting: list[_Sample] = []
        for group in self._groups(rng):
            fresh = [sample for pair in group for sample in self._samples(pair, rng)]
            waiting += [fresh[at] for at in rng.permutation(len(fresh))]
            while len(waiting) >= self.size:
                yield _collate(waiting[: self.size], self.side)
                waiting = waiting[self.size :]

    def _groups(self, rng: np.random.Generator) -> Iterator[list[_Pair]]:
        entries = list(self.dataset.without_crowds().pairs())
        while True:
            group: list[_Pair] = []
            for index in rng.permutation(len(entries)).tolist():
                pair = self._pair(*entries[index])
                group += [] if pair is None else [pair]
                if len(group) == ROUND:
                    yield group
                    group = []
            if group:
                yield group
            if len(self.refused) == len(entries):
                name, why = next(iter(self.refused.items()))
                raise InvalidRequest(f"none of {len(entries)} pairs can be used; {name}: {why}")

    def _pair(self, image: CocoImage, objects: list[CocoAnnotation]) -> _Pair | None:
        if image.id in self._kept:
            return self._kept[image.id]
        pair = self._registered(image, objects)
        held = sum(one.channels.nbytes for one in self._kept.values() if one is not None)
        if pair is None or held + pair.channels.nbytes <= KEPT_BYTES:
            self._kept[image.id] = pair
        return pair

    def _registered(self, image: CocoImage, objects: list[CocoAnnotation]) -> _Pair | None:
        try:
            picture, reference = read_pair(self.dataset, image, self.look)
            channels = stacked(picture, register(picture, reference).pixels, self.how)
            spots = windows(channels, self.how)
        except (RegistrationFailed, ImageRejected, ModelError) as error:
            self.refused[image.file_name] = error.message
            return None
        index = self.dataset.class_index()
        boxes = np.array([item.bbox for item in objects], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return _Pair(channels, spots, np.array([index[item.category_id] for item in objects], dtype=np.int64), boxes)

    def _samples(self, pair: _Pair, rng: np.random.Generator) -> Iterator["_Sample"]:
        about = [Box(x0=x0, y0=y0, x1=x1, y1=y1) for x0, y0, x1, y1 in pair.boxes]
        empty = [_box(spot) for spot in pair.spots if not any(_meet(spot, box) for box in about)]
        chosen = rng.permutation(len(empty))[: max(len(about) // 2, 2)]
        size = pair.channels.shape[:2]
        for box in [*about, *(empty[at] for at in chosen), _anywhere(size, rng)]:
            yield _sample(pair, _jittered(box, self.how, size, rng), self.side, rng)


def read_pair(dataset: Dataset, image: CocoImage, look: Look | None = None) -> tuple[Bytes, Bytes]:
    """Read a picture and its reference, H × W × 3 RGB, as they are served.

    Raises InvalidRequest where there is no reference, or one of them is not there; ImageRejected where it is no image.
    """
    template = dataset.template_path(image)
    if template is None:
        raise InvalidRequest(f"{image.file_name} has no `template`")
    look = look or Look(ImageLimits())
    return sized(look, dataset, image), look(template)


_Sample = tuple[Bytes, npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""A window's pixels, and the labels and boxes (xyxy in its pixels) of what it shows."""


def _sample(pair: _Pair, window: Window, side: int, rng: np.random.Generator) -> _Sample:
    square = cut(pair.channels, window, side)
    scale = side / window.side
    boxes = (pair.boxes - np.tile((window.left, window.top), 2)) * scale
    seen = boxes.clip(0, side)
    shares = _areas(seen) / np.maximum(_areas(boxes), 1e-9)
    kept = shares >= VISIBLE
    return _turned(_lit(square, rng), pair.labels[kept], seen[kept], rng)


def _areas(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _turned(
    square: Bytes, labels: npt.NDArray[np.int64], boxes: npt.NDArray[np.float64], rng: np.random.Generator
) -> _Sample:
    """Turn by quarters and mirror at random: all channels and the boxes alike."""
    side = square.shape[0]
    for _ in range(int(rng.integers(4))):  # np.rot90 turns counter-clockwise: (x, y) goes to (y, side - x)
        square = np.rot90(square)
        x0, y0, x1, y1 = boxes.T
        boxes = np.stack([y0, side - x1, y1, side - x0], axis=1)
    if rng.random() < 0.5:
        square = square[:, ::-1]
        x0, y0, x1, y1 = boxes.T
        boxes = np.stack([side - x1, y0, side - x0, y1], axis=1)
    return np.ascontiguousarray(square), labels, boxes


def _lit(square: Bytes, rng: np.random.Generator) -> Bytes:
    """Change exposure a little, of picture and reference apart, as two shots of a camera do."""
    gains, offsets = rng.uniform(0.9, 1.1, 3), np.append(rng.uniform(-12, 12, 2), 0)
    return np.asarray(np.clip(square * gains + offsets, 0, 255), dtype=np.uint8)


def _jittered(box: Box, how: Pairs, size: tuple[int, ...], rng: np.random.Generator) -> Window:
    scaled = how.model_copy(update={"window": max(round(how.window * rng.uniform(*ZOOM)), 32)})
    room = max(how.window - max(box.width, box.height), 0) / how.window
    x, y = np.array(box.centre) + rng.uniform(-JITTER, JITTER, 2) * how.window * room
    return window_about((float(x), float(y)), max(box.width, box.height), scaled, size)


def _anywhere(size: tuple[int, ...], rng: np.random.Generator) -> Box:
    x, y = rng.uniform(0, size[1]), rng.uniform(0, size[0])
    return Box(x0=x, y0=y, x1=x, y1=y)


def _box(window: Window) -> Box:
    x, y = window.left + window.side / 2, window.top + window.side / 2
    return Box(x0=x, y0=y, x1=x, y1=y)


def _meet(window: Window, box: Box) -> bool:
    across = box.x0 < window.left + window.side and window.left < box.x1
    return across and box.y0 < window.top + window.side and window.top < box.y1


def _collate(samples: list[_Sample], side: int) -> Batch:
    owners = [np.full(len(labels), at, dtype=np.int64) for at, (_, labels, _) in enumerate(samples)]
    boxes = np.concatenate([boxes for _, _, boxes in samples])
    x0, y0, x1, y1 = boxes.T / side
    return Batch(
        images=np.stack([square.transpose(2, 0, 1) for square, _, _ in samples]),
        owners=np.concatenate(owners),
        labels=np.concatenate([labels for _, labels, _ in samples]),
        boxes=np.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], axis=1).astype(np.float32),
        masks=np.zeros((len(samples), side // MASK_RATIO, side // MASK_RATIO), dtype=np.int32),
    )
