"""The family `yolo` as it learns: ultralytics' detect and segment networks, from boxes, masks, or pairs of pictures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from domain.errors import InvalidRequest
from domain.vision import Capability
from workers.judging import Look
from workers.models import yolo
from workers.registry import EMBEDDED
from workers.training import coco_masks
from workers.training.batches import SMALLEST_MASK, Batch, batches
from workers.training.coco import Dataset, runs
from workers.training.learners.learner import Options, checked, of
from workers.training.learners.serving import Detecting
from workers.training.loop import Step
from workers.training.pairs import PairStream, suited
from workers.training.sets.checking import within
from workers.training.sets.splitting import Parts

BATCH, PAIR_BATCH = 8, 32
"""Examples per step; windows of pairs are small."""
START = EMBEDDED / "detector.pt"
"""What a training begins with where nothing is named: its eye knows edges and spots, which random weights do not."""
WITH_MASKS = "yolo11n-seg.yaml"
SIDES = (256, 640)
"""The smallest and the largest side that is chosen by itself."""
SEEN_PX = 16
"""Three objects of four are to be seen at this size or larger: the square root of their boxes' area, in pixels."""
WEIGHTS = "model.pt"


def learner(parts: Parts[Any], options: Options) -> "YoloLearner":
    """Return what learns from a set of boxes or masks; where each picture has a golden reference, from the pairs.

    Raises InvalidRequest on another kind of set, a side that is no multiple of 32 or at which most objects are too
    small to be learnt, an unknown architecture.
    """
    checked(options, YoloOptions)
    return YoloLearner(of(parts, Dataset, "boxes or masks"), options)


class YoloOptions(BaseModel):
    """The options of the family."""

    model_config = ConfigDict(extra="forbid")

    pairs: bool = True
    """whether pictures that have golden references are learnt beside them, and served so"""


class YoloLearner:
    """A YOLO network that learns. It sees squares of `side` pixels; `pairs` says how it looks at pairs, if it does."""

    rates: Mapping[str, float] = {}
    rate = 1.5e-3
    capabilities: tuple[Capability, ...] = (Capability.DETECT,)
    licence = "trained with AGPL-3.0 software; see Licences in the README"
    served: Mapping[str, Any] = {}

    def __init__(self, parts: Parts[Dataset], options: Options) -> None:
        for part in (parts.train, parts.validation):
            within(part, options.limits)
        self._train, self._options = parts.train.without_crowds(), options
        paired = parts.train.paired and checked(options, YoloOptions).pairs
        self.pairs = suited(parts.train) if paired else None
        self.side = options.side or (self.pairs.window if self.pairs else suited_side(parts.train))
        if self.side % 32:
            raise InvalidRequest(f"the side must be a multiple of 32, not {self.side}")
        network = yolo.learnable(*_beginning(self._train, options, paired=paired), parts.train.classes)
        if paired and yolo.draws_masks(network):
            raise InvalidRequest("of pairs only boxes are learnt; give an architecture without masks, or pairs=false")
        self._masks = yolo.draws_masks(network)
        if not paired:
            _check_sizes(self._train, self.side, masks=self._masks)
        self.network: torch.nn.Module = network.to(options.device)
        self._detecting = Detecting(parts.validation, masks=self._masks)
        self.watched = self._detecting.watched

    def batches(self, seed: int) -> Iterator[Batch]:
        """See Learner."""
        size = self._options.batch or (BATCH if self.pairs is None else PAIR_BATCH)
        look = Look(self._options.limits)
        if self.pairs is not None:
            return iter(PairStream(self._train, self.pairs, side=self.side, size=size, seed=seed, look=look))
        return batches(self._train, side=self.side, size=size, seed=seed, masks=self._masks, look=look)

    def loss(self, batch: Batch) -> Step:
        """See Learner."""
        told, parts = self.network(_tensors(batch, self._options.device))
        named = {name: torch.as_tensor(part) for name, part in parts.items()}
        return Step(told.sum() / len(batch.images), named, len(batch.images))

    def measure(self) -> Mapping[str, float]:
        """See Learner."""
        return self._detecting.measure(self, "yolo", self._options)

    def save(self, folder: Path) -> None:
        """See FamilyLearner."""
        yolo.save(self.network, self._train.classes, self.side, folder / WEIGHTS, self.pairs)


def _beginning(dataset: Dataset, options: Options, *, paired: bool) -> tuple[str | None, Path | None]:
    """Return the architecture (None: that of the checkpoint), and the checkpoint to begin with."""
    if options.architecture or options.start:
        return options.architecture, options.start
    draws = any(item.segmentation for item in dataset.content.annotations) and not paired
    return (WITH_MASKS if draws else yolo.PLAIN), START


def suited_side(dataset: Dataset) -> int:
    """Return the side of the square at which three objects of four are large enough to be seen."""
    sizes = [area**0.5 for area in _shares(dataset, masks=False)]
    wanted = SEEN_PX / max(float(np.quantile(sizes, 0.25)), 1e-6) if sizes else 0
    return int(np.clip(_step(wanted), *SIDES))


def _shares(dataset: Dataset, *, masks: bool) -> list[float]:
    """Return the area of each object that is told apart, by its mask or its box, in shares of its picture's square."""
    return [
        (coco_masks.area(runs(item, image)) if masks else item.bbox[2] * item.bbox[3])
        / max(image.width, image.height, 1) ** 2
        for image, objects in dataset.without_crowds().pairs()
        for item in objects
    ]


def _check_sizes(dataset: Dataset, side: int, *, masks: bool) -> None:
    """Raise InvalidRequest where most objects are so small at that side that they are not learnt."""
    shares = _shares(dataset, masks=masks)
    small = sum(share * side**2 < SMALLEST_MASK for share in shares)
    if 2 * small <= len(shares):
        return
    wanted = (SMALLEST_MASK / max(float(np.quantile(shares, 0.25)), 1e-9)) ** 0.5
    raise InvalidRequest(
        f"{small} of {len(shares)} objects are smaller than {SMALLEST_MASK} pixels where pictures are seen at "
        f"{side}x{side}, too small to be learnt: give --side {_step(wanted)}, or cut the pictures into pieces"
    )


def _step(side: float) -> int:
    """Return the next multiple of 32."""
    return int(-(-side // 32)) * 32


def _tensors(batch: Batch, device: str) -> dict[str, torch.Tensor]:
    """Return a batch as ultralytics' losses take it."""
    images = torch.from_numpy(batch.images).to(device, memory_format=torch.channels_last)
    told: Sequence[tuple[str, torch.Tensor]] = (
        ("cls", torch.from_numpy(batch.labels).float()),
        ("bboxes", torch.from_numpy(batch.boxes)),
        ("batch_idx", torch.from_numpy(batch.owners).float()),
        ("masks", torch.from_numpy(batch.masks)),
    )
    return {"img": images.float() / 255, **{name: value.to(device) for name, value in told}}
