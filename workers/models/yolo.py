"""YOLO checkpoints: ultralytics' detect and segment models, loaded safely, run in batches, and trained.

The only file that imports ultralytics (AGPL-3.0; see "Licences" in the README). Of that library it uses the network,
its loss, non-maximum suppression and restricted checkpoint loading. Letterboxing, masks and data are Sightline's own.
"""

import gc
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_CONFIG = tempfile.TemporaryDirectory(prefix="sightline-yolo-")
# Read once, when ultralytics is imported: no network, nothing installed, nothing left in anybody's home.
_SWITCHES = {
    "YOLO_OFFLINE": "True",
    "YOLO_AUTOINSTALL": "False",
    "YOLO_VERBOSE": "False",
    "YOLO_CONFIG_DIR": _CONFIG.name,
    "ULTRALYTICS_SAFE_LOAD": "True",
}
os.environ.update(_SWITCHES)  # noqa: TID251  (a third party's switches, not settings)
# Otherwise ultralytics allows one thread, and idle ones spin: beside decoding threads that costs more than it gains.
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))  # noqa: TID251
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251

_OPEN = Image.open

import torch  # noqa: E402
from ultralytics.cfg import get_cfg  # noqa: E402
from ultralytics.nn.tasks import DetectionModel, SegmentationModel, torch_safe_load  # noqa: E402
from ultralytics.utils import SETTINGS  # noqa: E402
from ultralytics.utils.nms import non_max_suppression  # noqa: E402
from ultralytics.utils.ops import crop_mask  # noqa: E402
from ultralytics.utils.torch_utils import ModelEMA, intersect_dicts  # noqa: E402

from domain.errors import DeviceOutOfMemory, InvalidRequest, ModelError, ModelUnavailable  # noqa: E402
from domain.geometry import Box, Mask  # noqa: E402
from domain.vision import Capability, Detection  # noqa: E402
from workers.imaging.letterbox import Fit, letterbox  # noqa: E402
from workers.imaging.masks import encode_within, sample  # noqa: E402
from workers.modelling.temperature import tempered  # noqa: E402
from workers.models.family import Ask, Pixels, Prepared, ScoreKind  # noqa: E402
from workers.registry import ModelSpec  # noqa: E402
from workers.training.batches import Batch  # noqa: E402

SETTINGS.update(sync=False)
# ultralytics puts a function of its own there, for the whole process, that registers more formats at the first file
# that Pillow refuses. Which files are pictures is decided by the image check alone.
Image.open = _OPEN

MIN_SCORE = 0.25
OVERLAP = 0.6
"""Of two boxes of one class that overlap by more (IoU), the weaker one is dropped, unless the options say otherwise."""
MASK_OVERLAP = 0.5
"""The same for masks, as a share of the smaller one."""
MOST_DETECTIONS = 300
REVISION_DIGITS = 16
DTYPES = {"float32": torch.float32, "float16": torch.float16}


def load(spec: ModelSpec) -> "Yolo":
    """Load a checkpoint from a file, with nothing in it run.

    Options: `side` (pixels of the square it works on), `overlap` (IoU), `max_detections`, `threads` (on a CPU; beside
    busy processes one is faster than two, which wait for each other), `temperature` (of the scores, from a
    calibration). Raises ModelUnavailable where the file is missing, is not the pinned revision, is no YOLO detect or
    segment checkpoint, or the device is absent.
    """
    _verify(spec)
    device = _device(spec)
    network = _network(spec.path)
    return Yolo(network, spec, device, int(spec.options.get("side", _trained_side(network))))


def _network(path: Path) -> Any:  # noqa: ANN401  (ultralytics has no types)
    """Read a checkpoint's network; nothing but known classes is built, no code that it may carry is run."""
    try:
        checkpoint, _ = torch_safe_load(str(path), safe_only=True)
        network = checkpoint.get("ema") or checkpoint["model"]
    except (TypeError, KeyError, AttributeError, OSError, RuntimeError) as error:
        raise ModelUnavailable(f"{path} is not a YOLO checkpoint: {error}") from error
    if type(network) not in (DetectionModel, SegmentationModel):
        raise ModelUnavailable(f"{path} holds a {type(network).__name__}; only detect and segment models are served")
    return network


def _trained_side(network: Any) -> int:  # noqa: ANN401
    """Return the side that a network was trained on; YOLO's usual one where the checkpoint does not say."""
    arguments = getattr(network, "args", {})
    return int((arguments if isinstance(arguments, dict) else vars(arguments)).get("imgsz", 640))


def _verify(spec: ModelSpec) -> None:
    """Compare the file's SHA-256 with the pinned revision."""
    path = spec.path
    if not path.is_file():
        raise ModelUnavailable(f"model {spec.name!r}: {path} does not exist; the family `yolo` takes a .pt file")
    kind, _, digits = spec.revision.partition(":")
    if kind != "sha256" or len(digits) < REVISION_DIGITS:
        need = f"sha256: and at least {REVISION_DIGITS} hex digits"
        raise ModelUnavailable(f"model {spec.name!r}: the revision {spec.revision!r} pins nothing; give {need}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found.startswith(digits):
        raise ModelUnavailable(
            f"model {spec.name!r}: {path} has the SHA-256 {found[:REVISION_DIGITS]}…, not the pinned {digits}; "
            f"restore the file or, if the change is meant, pin the new revision"
        )


def _device(spec: ModelSpec) -> torch.device:
    if spec.dtype not in DTYPES:
        raise ModelUnavailable(f"model {spec.name!r}: dtype {spec.dtype!r} is none of {', '.join(DTYPES)}")
    cuda = torch.cuda.is_available()
    if spec.device == "auto":
        return torch.device("cuda" if cuda else "cpu")
    if spec.device != "cpu" and not cuda:
        raise ModelUnavailable(f"model {spec.name!r}: device {spec.device!r} is asked for, but there is no CUDA device")
    return torch.device(spec.device)


@dataclass(frozen=True, eq=False)
class _Call:
    """A picture, letterboxed, and what is asked of it."""

    square: Pixels
    fit: Fit
    min_score: float


class Yolo:
    """A loaded checkpoint. Every picture is letterboxed to the same square, so that all calls share batches.

    A batch of n answers as n batches of one do: same labels, scores within 1e-3, boxes within 0.1 % of the longer side.
    """

    scores = ScoreKind.SIGMOID

    def __init__(self, network: Any, spec: ModelSpec, device: torch.device, side: int) -> None:  # noqa: ANN401
        half = spec.dtype == "float16" and device.type == "cuda"  # half precision is slower than single on a CPU
        self.dtype = "float16" if half else "float32"
        self.device = str(device)
        self.preprocessing = f"letterbox{side}/1"
        self.classes: tuple[str, ...] = tuple(str(network.names[index]) for index in sorted(network.names))
        self._side = side
        self._device = device
        self._overlap = float(spec.options.get("overlap", OVERLAP))
        self._most = int(spec.options.get("max_detections", MOST_DETECTIONS))
        self._threads = int(spec.options.get("threads", torch.get_num_threads()))
        self._temperature = float(spec.options.get("temperature", 1.0))
        self._network = network.float().fuse().eval().to(device, DTYPES[self.dtype])

    def prepare(self, ask: Ask) -> Prepared:
        """Letterbox the picture. Raises ModelError on another capability, other than one picture, or a bad score."""
        if ask.capability != Capability.DETECT or len(ask.pictures) != 1:
            raise ModelError(f"this model detects on one picture, not {ask.capability} on {len(ask.pictures)}")
        pixels = ask.pictures[0]
        if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or pixels.dtype != np.uint8:
            raise ModelError(f"a picture is HxWx3 of uint8, not {pixels.shape} of {pixels.dtype}")
        min_score = float(ask.arguments.get("min_score", MIN_SCORE))
        if not 0 <= min_score <= 1:
            raise ModelError(f"min_score is a number in [0, 1], not {min_score}")
        min_score = tempered(min_score, 1 / self._temperature)  # as the network scores
        fit = Fit(pixels.shape[0], pixels.shape[1], self._side)
        return Prepared(_Call(letterbox(pixels, self._side), fit, min_score), group=self._side, pixels=self._side**2)

    def run(self, batch: Sequence[Prepared]) -> Sequence[tuple[Detection, ...]]:
        """Detect on all pictures at once, best first. Raises DeviceOutOfMemory; ModelError on what is not finite."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        try:
            with torch.inference_mode():
                found, prototypes = self._forward(calls)
                return [self._answer(*each) for each in zip(calls, found, prototypes, strict=True)]
        except torch.OutOfMemoryError as error:
            raise DeviceOutOfMemory(f"a batch of {len(batch)} did not fit on {self._device}: {error}") from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error):  # the CPU's allocator has no type of its own for it
                raise DeviceOutOfMemory(f"a batch of {len(batch)} did not fit in memory: {error}") from error
            raise

    def close(self) -> None:
        """Release the network's memory."""
        self._network = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _forward(self, calls: Sequence[_Call]) -> tuple[list[torch.Tensor], Sequence[torch.Tensor | None]]:
        """Return per picture its rows (x0, y0, x1, y1, score, class, coefficients…) in the square, and prototypes."""
        if self._network is None:
            raise ModelUnavailable("this model was closed")
        torch.set_num_threads(self._threads)  # OpenMP keeps this per calling thread, and loading was done in another
        stacked = torch.from_numpy(np.stack([call.square for call in calls])).to(self._device)
        images = stacked.permute(0, 3, 1, 2).to(DTYPES[self.dtype]) / 255
        outputs = self._network(images)[0]
        rows, prototypes = outputs if isinstance(outputs, tuple) else (outputs, [None] * len(calls))
        if not torch.isfinite(rows).all():
            raise ModelError("the network's output is not finite")
        found = non_max_suppression(
            rows.float(),
            conf_thres=min(call.min_score for call in calls),
            iou_thres=self._overlap,
            max_det=self._most,
            nc=len(self.classes),
            end2end=bool(getattr(self._network, "end2end", False)),
            max_time_img=float("inf"),  # by default it leaves the rest of a slow batch without an answer
        )
        return found, prototypes

    def _answer(self, call: _Call, rows: torch.Tensor, prototypes: torch.Tensor | None) -> tuple[Detection, ...]:
        """Turn one picture's rows into detections in the picture's own pixels."""
        fields: Sequence[npt.NDArray[np.float32] | None] = [None] * len(rows)
        if prototypes is not None and len(rows):
            logits = torch.einsum("nk,khw->nhw", rows[:, 6:], prototypes.float())
            distinct = _distinct(logits > 0, rows, self._side)
            rows, fields = rows[distinct], list(logits[distinct].cpu().numpy())
        answers = []
        for row, logit in zip(rows[:, :6].cpu().tolist(), fields, strict=True):
            if row[4] < call.min_score:  # wanted by another call of the batch; rows come best first
                break
            box = _in_picture(row[:4], call.fit)
            if box.area > 0:  # otherwise it lies in the padding
                mask = None if logit is None else _mask(logit, box, call.fit)
                label, score = self.classes[int(row[5])], tempered(min(row[4], 1.0), self._temperature)
                answers.append(Detection(label=label, score=score, box=box, mask=mask))
        return tuple(answers)


def _distinct(masks: torch.Tensor, rows: torch.Tensor, side: int) -> torch.Tensor:
    """Say which rows are not a piece of a better row's object: same class, and most of the smaller mask shared.

    Boxes do not tell this: those of two halves of one diagonal scratch hardly overlap, nor do they with the whole's.
    """
    inside = crop_mask(masks.float(), rows[:, :4] * masks.shape[-1] / side).flatten(1)
    areas = inside.sum(dim=1)
    shared = inside @ inside.T / torch.minimum(areas[:, None], areas[None]).clamp(min=1)
    rival = ((shared > MASK_OVERLAP) & (rows[:, 5, None] == rows[None, :, 5])).cpu().numpy()
    kept: list[int] = []
    for index in range(len(rows)):  # best first
        if not rival[index, kept].any():
            kept.append(index)
    return torch.tensor(kept, device=rows.device)


def _in_picture(xyxy: Sequence[float], fit: Fit) -> Box:
    """Carry a box from the square to the picture, cut at its edges."""
    (sx, sy), x0, y0, x1, y1 = fit.scale, *xyxy
    left, top, right, bottom = (x0 - fit.left) / sx, (y0 - fit.top) / sy, (x1 - fit.left) / sx, (y1 - fit.top) / sy
    box = Box(x0=left, y0=top, x1=max(left, right), y1=max(top, bottom))
    return box.clipped(fit.width, fit.height)


def _mask(logits: npt.NDArray[np.float32], box: Box, fit: Fit) -> Mask | None:
    """Read mask logits, which cover the square coarsely, at the picture's pixels in the box; None if none is set."""
    left, top, right, bottom = floor(box.x0), floor(box.y0), ceil(box.x1), ceil(box.y1)
    (sx, sy), (height, width) = fit.scale, logits.shape
    columns = ((np.arange(left, right) + 0.5) * sx + fit.left) * width / fit.side - 0.5
    rows = ((np.arange(top, bottom) + 0.5) * sy + fit.top) * height / fit.side - 0.5
    bits = sample(logits, rows, columns) > 0
    return encode_within(bits, (fit.height, fit.width), top, left) if bits.any() else None


WARM_UP = 0.04
"""The share of a training over which its rate rises from zero."""
FINAL_RATE = 0.02
"""The rate at the end, as a share of the highest."""

SAVE_EVERY_S = 300.0
"""How often the weights so far are saved."""


@dataclass(frozen=True)
class Plan:
    """How a training goes. The rate follows the clock, so that it always ends where it should.

    `start` is a checkpoint to begin with instead of random weights; what does not fit (other classes) begins anew.
    """

    minutes: float
    batch: int = 8
    side: int = 256
    architecture: str = "yolo11n-seg.yaml"
    rate: float = 1.5e-3
    decay: float = 5e-4
    seed: int = 0
    start: Path | None = None
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    share: float
    pictures: int
    losses: dict[str, float]


def train(
    stream: Iterator[Batch],
    classes: tuple[str, ...],
    plan: Plan,
    out: Path,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train until the plan's minutes are over, and save the averaged weights in half precision.

    AdamW, one cosine cycle over wall time, exponential moving average of the weights. Returns where it ended. Raises
    InvalidRequest on a side that is no multiple of 32 or an architecture that does not exist.
    """
    if plan.side % 32:
        raise InvalidRequest(f"the side must be a multiple of 32, not {plan.side}")
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    model = _fresh(plan, classes)
    optimizer = _optimizer(model, plan)
    average = ModelEMA(model, decay=0.998, tau=300)
    started, pictures = time.monotonic(), 0
    saved = started
    while True:
        share = (time.monotonic() - started) / (60 * plan.minutes)
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * _cycle(share)
        batch = next(stream)
        loss, losses = model(_tensors(batch))
        optimizer.zero_grad(set_to_none=True)
        (loss.sum() / len(batch.images)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=10.0)
        optimizer.step()
        average.update(model)
        pictures += len(batch.images)
        progress = Progress(share, pictures, {name: float(value) for name, value in losses.items()})
        report(progress)
        if share >= 1 or time.monotonic() - saved > SAVE_EVERY_S:
            save(average.ema, classes, plan.side, out)
            saved = time.monotonic()
        if share >= 1:
            return progress


def _fresh(plan: Plan, classes: tuple[str, ...]) -> Any:  # noqa: ANN401  (ultralytics has no types)
    kind = SegmentationModel if "-seg" in plan.architecture else DetectionModel
    try:
        model = kind(plan.architecture, nc=len(classes), verbose=False)
    except FileNotFoundError as error:
        known = "try yolo11n-seg.yaml"
        raise InvalidRequest(f"ultralytics ships no architecture {plan.architecture!r}; {known}") from error
    if plan.start is not None:
        earlier = _network(plan.start).float().state_dict()
        model.load_state_dict(intersect_dicts(earlier, model.state_dict()), strict=False)
    model.args = get_cfg()
    model.names = dict(enumerate(classes))
    return model.to(memory_format=torch.channels_last).train()


def _optimizer(model: torch.nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """AdamW that lets only matrices decay, not biases and normalisation."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": plan.decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.rate)


def _cycle(share: float) -> float:
    """Return the rate as a share of the highest: a linear rise, then a cosine fall (Loshchilov and Hutter, 2017)."""
    if share < WARM_UP:
        return max(share / WARM_UP, 0.02)
    fall = min((share - WARM_UP) / (1 - WARM_UP), 1.0)
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + float(torch.cos(torch.tensor(torch.pi * fall)))) / 2


def _tensors(batch: Batch) -> dict[str, torch.Tensor]:
    images = torch.from_numpy(batch.images).to(memory_format=torch.channels_last)
    return {
        "img": images.float() / 255,
        "cls": torch.from_numpy(batch.labels).float(),
        "bboxes": torch.from_numpy(batch.boxes),
        "batch_idx": torch.from_numpy(batch.owners).float(),
        "masks": torch.from_numpy(batch.masks),
    }


def save(model: Any, classes: tuple[str, ...], side: int, out: Path) -> None:  # noqa: ANN401
    """Save a checkpoint in half precision with what loading needs and nothing of this machine."""
    kept = deepcopy(model).half().to(memory_format=torch.contiguous_format).eval()
    kept.criterion = None
    kept.names = dict(enumerate(classes))
    kept.args = {"imgsz": side}
    torch.save({"model": kept, "train_args": kept.args}, out)
