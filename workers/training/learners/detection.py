"""The family `detection` as it learns: RT-DETR v2, D-FINE and others of transformers, by the loss of the model itself.

Pictures go through the image processor that serves them; each is mirrored or not and lit otherwise beforehand.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModelForObjectDetection, RTDetrImageProcessor
from transformers.utils import logging

from domain.errors import InvalidRequest
from domain.vision import Capability
from workers.judging import Look
from workers.models.family import Pixels
from workers.training.coco import CocoAnnotation, CocoImage, Dataset, sized
from workers.training.drawing import shuffled
from workers.training.learners.learner import NoOptions, Options, checked, of
from workers.training.learners.scratch import CONFIGS
from workers.training.learners.serving import Detecting
from workers.training.loop import Step
from workers.training.sets.checking import within
from workers.training.sets.splitting import Parts

BATCH = 4
SIDE = 320
"""Of the square that a network from random weights sees."""
SMALLEST = 96
STEP = 32
"""What these networks shrink a picture by at most."""
GENTLE = {"model.backbone": 0.1}
"""A backbone that has learnt already keeps most of what it knows (Zhao et al. 2024, DETRs beat YOLOs, section 5.1)."""
OF_START, OF_SCRATCH = 1e-4, 3e-4
"""The highest rates."""


def learner(parts: Parts[Any], options: Options) -> "DetectionLearner":
    """See `learner.Family`: from boxes, beginning with a checkpoint's folder or with random weights."""
    checked(options, NoOptions)
    boxes = of(parts, Dataset, "boxes")
    network, images = _begun(options, boxes.train.classes)
    return DetectionLearner(boxes, options, network, images)


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures' tensors, and of each its classes and its boxes (centre, width and height, in shares)."""

    inputs: dict[str, torch.Tensor]
    labels: list[dict[str, torch.Tensor]]


class DetectionLearner:
    """A detector of transformers that learns."""

    capabilities: tuple[Capability, ...] = (Capability.DETECT,)
    served: Mapping[str, Any] = {}

    def __init__(self, parts: Parts[Dataset], options: Options, network: Any, images: Any) -> None:  # noqa: ANN401
        for part in (parts.train, parts.validation):
            within(part, options.limits)
        self._train, self._options, self._images = parts.train.without_crowds(), options, images
        self._look = Look(options.limits)
        self.network: torch.nn.Module = network.to(options.device)
        self.rates: Mapping[str, float] = GENTLE if options.start else {}
        self.rate = OF_START if options.start else OF_SCRATCH
        begun = "that of the checkpoint it began with" if options.start else "yours: from random weights"
        self.licence = begun
        self._detecting = Detecting(parts.validation, masks=False)
        self.watched = self._detecting.watched

    def batches(self, seed: int) -> Iterator[Batch]:
        """See Learner."""
        rng = np.random.default_rng(seed)
        for chosen in shuffled(list(self._train.pairs()), self._options.batch or BATCH, seed):
            yield self._batch(chosen, rng)

    def loss(self, batch: Batch) -> Step:
        """See Learner. What is told are the parts of the last layer's loss, without those of the layers before."""
        device = self._options.device
        labels = [{name: value.to(device) for name, value in of_one.items()} for of_one in batch.labels]
        told = self.network(**{name: value.to(device) for name, value in batch.inputs.items()}, labels=labels)
        parts = {name: value.detach() for name, value in told.loss_dict.items() if name.count("_") == 1}
        return Step(told.loss, parts, len(labels))

    def measure(self) -> Mapping[str, float]:
        """See Learner."""
        return self._detecting.measure(self, "detection", self._options)

    def save(self, folder: Path) -> None:
        """See FamilyLearner."""
        logging.disable_progress_bar()
        deepcopy(self.network).half().save_pretrained(folder)  # type: ignore[operator]
        self._images.save_pretrained(folder)

    def _batch(self, chosen: list[tuple[CocoImage, list[CocoAnnotation]]], rng: np.random.Generator) -> Batch:
        index = self._train.class_index()
        pictures, told = [], []
        for image, objects in chosen:
            mirrored = bool(rng.random() < 0.5)
            pictures.append(_lit(sized(self._look, self._train, image), rng, mirrored=mirrored))
            annotations = [
                {
                    "bbox": _mirrored(item, image.width) if mirrored else list(item.bbox),
                    "category_id": index[item.category_id],
                    "area": item.bbox[2] * item.bbox[3],
                    "iscrowd": 0,
                }
                for item in objects
            ]
            told.append({"image_id": image.id, "annotations": annotations})
        made = self._images(images=pictures, annotations=told, input_data_format="channels_last", return_tensors="pt")
        labels = [{name: of_one[name] for name in ("class_labels", "boxes")} for of_one in made.pop("labels")]
        return Batch(dict(made), labels)


def _begun(options: Options, classes: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the network and the image processor to begin with. Raises InvalidRequest where none can be told."""
    names = {
        "id2label": dict(enumerate(classes)),
        "label2id": {name: index for index, name in enumerate(classes)},
    }
    local = {"local_files_only": True, "trust_remote_code": False}
    if options.start is not None and options.architecture is None:
        if options.side is not None:
            raise InvalidRequest("detection sees pictures at the size that its checkpoint says; leave the side out")
        network = AutoModelForObjectDetection.from_pretrained(
            options.start, use_safetensors=True, ignore_mismatched_sizes=True, dtype=torch.float32, **names, **local
        )
        return network, AutoImageProcessor.from_pretrained(options.start, **local)
    if options.start is not None or options.architecture is None:
        raise InvalidRequest(
            f"detection begins with the folder of a checkpoint (--from), or with random weights: --architecture "
            f"{', '.join(CONFIGS)}, or a folder with a config.json"
        )
    side = options.side or SIDE
    if side < SMALLEST:
        raise InvalidRequest(
            f"a side of {side} leaves fewer places than objects that may be found; {SMALLEST} is enough"
        )
    images = RTDetrImageProcessor(size={"height": side, "width": side}, do_pad=False)
    if side % STEP:
        raise InvalidRequest(f"the side must be a multiple of {STEP}, not {side}")
    if options.architecture in CONFIGS:
        return AutoModelForObjectDetection.from_config(CONFIGS[options.architecture](**names)), images
    folder = Path(options.architecture)
    if not (folder / "config.json").is_file():
        raise InvalidRequest(
            f"--architecture {folder} is none of {', '.join(CONFIGS)}, nor a folder with a config.json"
        )
    if (folder / "preprocessor_config.json").is_file():
        images = AutoImageProcessor.from_pretrained(folder, **local)
    return AutoModelForObjectDetection.from_config(AutoConfig.from_pretrained(folder, **names, **local)), images


def _lit(pixels: Pixels, rng: np.random.Generator, *, mirrored: bool) -> Pixels:
    """Change exposure and white balance a little, and mirror or not."""
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.95, 1.05, 3)
    lit = np.clip(pixels * gain + rng.uniform(-15, 15), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(lit[:, ::-1]) if mirrored else lit


def _mirrored(item: CocoAnnotation, width: int) -> list[float]:
    x, y, box_width, height = item.bbox
    return [width - x - box_width, y, box_width, height]
