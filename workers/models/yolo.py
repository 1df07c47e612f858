"""YOLO checkpoints: ultralytics' detect and segment models, loaded safely, run in batches, and trained.

Models of fixed classes, and YOLO-World (Cheng et al. 2024) and YOLOE (Wang et al. 2025), which find what phrases name:
their phrases are encoded by a CLIP that the row names, not by ultralytics, which would fetch one.

The only file that imports ultralytics (AGPL-3.0; see "Licences" in the README). Of that library it uses the network,
its loss, non-maximum suppression and restricted checkpoint loading. Letterboxing, masks and data are Sightline's own.
"""

import os
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from pydantic import Field  # noqa: E402
from ultralytics.cfg import get_cfg  # noqa: E402
from ultralytics.nn.tasks import (  # noqa: E402
    DetectionModel,
    SegmentationModel,
    WorldModel,
    YOLOEModel,
    YOLOESegModel,
    torch_safe_load,
)
from ultralytics.utils import SETTINGS  # noqa: E402
from ultralytics.utils.nms import non_max_suppression  # noqa: E402
from ultralytics.utils.torch_utils import intersect_dicts  # noqa: E402

from domain.errors import InvalidRequest, ModelError, ModelUnavailable  # noqa: E402
from domain.vision import Capability, Detection, Grounding, Segment  # noqa: E402
from workers.imaging.letterbox import Fit, letterbox  # noqa: E402
from workers.modelling.checkpoint import (  # noqa: E402
    Checkpoint,
    Place,
    finite,
    min_score,
    one_picture,
    place,
    two_pictures,
    verify,
)
from workers.modelling.options import Part, Tempered, Template, options  # noqa: E402
from workers.modelling.pair_calls import PairCall  # noqa: E402
from workers.modelling.pairs import Pairs, preprocessing  # noqa: E402
from workers.modelling.phrases import Text, clip_phrases  # noqa: E402
from workers.modelling.squares import detections  # noqa: E402
from workers.modelling.temperature import tempered  # noqa: E402
from workers.models.family import Ask, Pixels, Prepared, ScoreKind, Told  # noqa: E402
from workers.registry import ModelSpec  # noqa: E402

SETTINGS.update(sync=False)
# ultralytics puts a function of its own there, for the whole process, that registers more formats at the first file
# that Pillow refuses. Which files are pictures is decided by the image check alone.
Image.open = _OPEN

OVERLAP = 0.6
"""Of two boxes of one class that overlap by more (IoU), the weaker one is dropped, unless the options say otherwise."""
MOST_DETECTIONS = 300


class Options(Tempered):
    """The options of a row; see `load`."""

    side: int | None = Field(default=None, ge=32, multiple_of=32)
    overlap: float = Field(default=OVERLAP, gt=0, le=1)
    max_detections: int = Field(default=MOST_DETECTIONS, ge=1)


class OpenOptions(Options):
    """The options of a row of YOLO-World or YOLOE."""

    text_encoder: Part | None = None
    template: Template = "{}"
    classes: tuple[str, ...] = ()


def load(spec: ModelSpec) -> "Yolo":
    """Load a checkpoint from a file, with nothing in it run.

    Options: `side` (pixels of the square it works on), `overlap` (IoU), `max_detections`, `threads` (on a CPU; beside
    busy processes one is faster than two, which wait for each other), `temperature` (of the scores, from a
    calibration). YOLO-World and YOLOE find phrases with `text_encoder` (a table with the `source` and the `revision` of
    a CLIP in safetensors), which they were trained with; `template` (a text with {} for the phrase) and `classes` (what
    `detect` looks for, in place of the checkpoint's own) go with it. Raises ModelUnavailable where the file is missing,
    is not the pinned revision, is no YOLO detect or segment checkpoint, its text encoder is absent or gives
    other vectors, or the device is absent.
    """
    if not spec.path.is_file():
        raise ModelUnavailable(f"model {spec.name!r}: {spec.path} does not exist; the family `yolo` takes a .pt file")
    if spec.dtype == "bfloat16":
        raise ModelUnavailable(f"model {spec.name!r}: in bfloat16 its boxes would be off by pixels; take float16")
    verify(spec, spec.path)
    at, network = place(spec), _network(spec.path)
    kind = OpenYolo if type(network) in OPEN else PairYolo if _arguments(network).get("pairs") else Yolo
    return kind(spec, at, network, options(spec, kind.schema, CAN[type(network)]))


CAN = {
    DetectionModel: {Capability.DETECT},
    SegmentationModel: {Capability.DETECT},
    WorldModel: {Capability.DETECT, Capability.GROUND},
    YOLOEModel: {Capability.DETECT, Capability.GROUND},
    YOLOESegModel: {Capability.DETECT, Capability.GROUND, Capability.SEGMENT},
}
"""What is served, and what each can do."""
OPEN = {WorldModel: "txt_feats", YOLOEModel: "pe", YOLOESegModel: "pe"}
"""The networks that look for what vectors stand for, and where each keeps them (1 × classes × D)."""


def _network(path: Path) -> Any:  # noqa: ANN401  (ultralytics has no types)
    """Read a checkpoint's network; nothing but known classes is built, no code that it may carry is run."""
    try:
        checkpoint, _ = torch_safe_load(str(path), safe_only=True)
        network = checkpoint.get("ema") or checkpoint["model"]
    except (TypeError, KeyError, AttributeError, OSError, RuntimeError) as error:
        raise ModelUnavailable(f"{path} is not a YOLO checkpoint: {error}") from error
    if type(network) not in CAN:
        raise ModelUnavailable(f"{path} holds a {type(network).__name__}; only detect and segment models are served")
    return network


def _arguments(network: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what a checkpoint says of how its network was trained."""
    arguments = getattr(network, "args", {})
    return arguments if isinstance(arguments, dict) else vars(arguments)


def _trained_side(network: Any) -> int:  # noqa: ANN401
    """Return the side that a network was trained on; YOLO's usual one where the checkpoint does not say."""
    return int(_arguments(network).get("imgsz", 640))


@dataclass(frozen=True, eq=False)
class _Call:
    """A picture, letterboxed, and what is asked of it.

    `min_score` is one of the network's, before the temperature. `texts` are the phrases' where they are not the
    model's own classes, of which `cut` were too long.
    """

    square: Pixels
    fit: Fit
    min_score: float
    names: Sequence[str]
    texts: Sequence[Text] | None = None
    cut: int = 0
    capability: Capability = Capability.DETECT


class Yolo(Checkpoint):
    """A loaded checkpoint. Every picture is letterboxed to the same square, so that all calls share batches.

    A batch of n answers as n batches of one do: same labels, scores within 1e-3, boxes within 0.1 % of the longer side.
    """

    scores = ScoreKind.SIGMOID
    schema: type[Options] = Options

    def __init__(self, spec: ModelSpec, at: Place, network: Any, told: Any) -> None:  # noqa: ANN401  (of its `schema`)
        if at.compile:
            raise ModelUnavailable(f"model {spec.name!r}: a YOLO is not compiled; drop the option `compile`")
        layout = torch.channels_last if at.channels_last else torch.preserve_format
        ready = network.float().fuse(verbose=False).eval().requires_grad_(False)
        super().__init__(spec, at, ready.to(at.device, at.dtype).to(memory_format=layout))
        self.classes: tuple[str, ...] = tuple(str(network.names[index]) for index in sorted(network.names))
        self._side = told.side or _trained_side(network)
        self.preprocessing = f"letterbox{self._side}/1"
        self._overlap, self._most, self._temperature = told.overlap, told.max_detections, told.temperature

    def prepare(self, ask: Ask) -> Prepared:
        """Letterbox the picture. Raises ModelError on another capability, other than one picture, or a bad score."""
        if ask.capability not in self.spec.capabilities:
            raise ModelError(f"this model can {', '.join(self.spec.capabilities)}; it cannot {ask.capability}")
        pixels = one_picture(ask)
        least = tempered(min_score(ask), 1 / self._temperature)
        fit = Fit(pixels.shape[0], pixels.shape[1], self._side)
        call = self._call(ask, letterbox(pixels, self._side), fit, least)
        return Prepared(call, group=(self._side, len(call.names)), pixels=self._side**2)

    def answers(self, batch: Sequence[Prepared]) -> list[Any]:
        """Look at all pictures at once, and return what each shows, best first."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        if not calls[0].names:
            return [() for _ in calls]
        found, prototypes = self._found(np.stack([call.square for call in calls]), calls)
        return [self._answer(*each) for each in zip(calls, found, prototypes, strict=True)]

    def _found(self, squares: Pixels, calls: Sequence[Any]) -> tuple[list[torch.Tensor], Sequence[torch.Tensor | None]]:
        """Look at squares (n × S × S × 3) at once; return each one's rows, best first, and its masks' prototypes."""
        stacked = torch.from_numpy(squares).to(self.at.device)
        images = stacked.permute(0, 3, 1, 2).to(self.at.dtype) / 255
        outputs = self._outputs(images, calls)
        rows, prototypes = outputs if isinstance(outputs, tuple) else (outputs, [None] * len(squares))
        finite(rows)
        found = non_max_suppression(
            rows.float(),
            conf_thres=min(call.min_score for call in calls),
            iou_thres=self._overlap,
            max_det=self._most,
            nc=len(calls[0].names),
            end2end=bool(getattr(self.network, "end2end", False)),
            max_time_img=float("inf"),  # by default it leaves the rest of a slow batch without an answer
        )
        return found, prototypes

    def _call(self, ask: Ask, square: Pixels, fit: Fit, least: float) -> _Call:
        return _Call(square, fit, least, self.classes)

    def _outputs(self, images: torch.Tensor, calls: Sequence[_Call]) -> Any:  # noqa: ANN401
        """Run the network; the calls are one group's."""
        return self.network(images)[0]

    def _answer(self, call: _Call, rows: torch.Tensor, prototypes: torch.Tensor | None) -> Any:  # noqa: ANN401
        return self._tempered(detections(rows, prototypes, call.fit, call.names, call.min_score))

    def _tempered(self, found: tuple[Detection, ...]) -> tuple[Detection, ...]:
        if self._temperature == 1:
            return found
        return tuple(one.model_copy(update={"score": tempered(one.score, self._temperature)}) for one in found)


class PairYolo(Yolo):
    """A network that was trained on windows of pairs, and is shown a picture with its registered reference as such.

    All windows of all calls are one batch for the network, in pieces; see `workers/modelling/pairs.py`.
    """

    def __init__(self, spec: ModelSpec, at: Place, network: Any, told: Any) -> None:  # noqa: ANN401
        if type(network) is not DetectionModel:
            raise ModelUnavailable(
                f"model {spec.name!r}: of pairs only boxes are learnt, not by {type(network).__name__}"
            )
        how = _arguments(network)["pairs"]
        if "levels" not in how:
            raise ModelUnavailable(
                f"model {spec.name!r}: it was taught to look at pairs in another way; train it again"
            )
        super().__init__(spec, at, network, told)
        self._how = Pairs.model_validate(how)
        self.preprocessing = preprocessing(self._how, self._side)

    def prepare(self, ask: Ask) -> Prepared:
        """Cut out the windows. Raises ModelError on anything but a picture with a reference of its size."""
        if ask.capability not in self.spec.capabilities:
            raise ModelError(f"this model can {', '.join(self.spec.capabilities)}; it cannot {ask.capability}")
        least = tempered(min_score(ask), 1 / self._temperature)
        call = PairCall.of(two_pictures(ask), self._how, self._side, least, self.classes)
        return Prepared(call, group=("pairs", self._side), pixels=call.pixels)

    def answers(self, batch: Sequence[Prepared]) -> list[Any]:
        """Look at all windows, and return what each pair shows, best first, with how many windows were looked at."""
        calls: list[PairCall] = [prepared.payload for prepared in batch]
        squares = np.concatenate([call.squares for call in calls])
        rows = [row for at in range(0, len(squares), PIECE) for row in self._found(squares[at : at + PIECE], calls)[0]]
        answers, at = [], 0
        for call in calls:
            mine = rows[at : at + len(call.places)]
            found = self._tempered(call.told(mine, self._overlap, self._most))
            answers.append(Told(found, {"compared_with": "reference", "windows": len(mine)}))
            at += len(mine)
        return answers


PIECE = 64
"""So many windows at once go through a network of pairs."""

ENCODER = (
    "name a CLIP in safetensors as the option `text_encoder`, a table with `source` and `revision`: YOLO-World was "
    "trained with the one of ViT-B/32, YOLOE with MobileCLIP's, which is published as TorchScript, code that is not "
    "run here, and has to be turned into transformers' CLIP first"
)


class OpenYolo(Yolo):
    """YOLO-World and YOLOE: boxes are compared with vectors of phrases. Calls with as many phrases share a batch.

    To YOLO-World all phrases of a call are one text: each tells on the others' scores. A model that detects has classes
    too: the row's, or those that its checkpoint keeps vectors of.
    """

    schema = OpenOptions

    def __init__(self, spec: ModelSpec, at: Place, network: Any, told: Any) -> None:  # noqa: ANN401
        head, self._slot = network.model[-1], OPEN[type(network)]
        if getattr(head, "is_fused", False) or hasattr(head, "lrpc"):
            raise ModelUnavailable(f"model {spec.name!r}: its classes are fused into it; take one that is not fused")
        super().__init__(spec, at, network, told)
        if told.text_encoder is None and (told.classes or set(spec.capabilities) - {Capability.DETECT}):
            raise ModelUnavailable(f"model {spec.name!r}: it finds phrases by their vectors; {ENCODER}")
        self._phrases = told.text_encoder and clip_phrases(spec.checkpoints["text_encoder"], at, told.template)
        self._own: Any = getattr(network, self._slot, None)
        with torch.inference_mode():
            if self._phrases is not None:
                self._check(head)
            if told.classes:
                self.classes, self._own = told.classes, self._encoded(self._phrases.read(told.classes)[0])[None]
        if Capability.DETECT not in spec.capabilities:
            self.classes = ()
        elif self._own is None or self._own.shape[1] != len(self.classes):
            raise ModelUnavailable(f"model {spec.name!r}: it keeps no vectors of its classes; name others; {ENCODER}")

    def close(self) -> None:
        """Release the network, the text encoder and the vectors."""
        if self._phrases is not None:
            self._phrases.close()
        self._own = None
        super().close()

    def _call(self, ask: Ask, square: Pixels, fit: Fit, least: float) -> _Call:
        if ask.capability == Capability.DETECT:
            return super()._call(ask, square, fit, least)
        names = _looked_for(ask)
        texts, cut = self._phrases.read(names)
        return _Call(square, fit, least, names, texts, cut, ask.capability)

    def _outputs(self, images: torch.Tensor, calls: Sequence[_Call]) -> Any:  # noqa: ANN401
        vectors = [self._own[0] if call.texts is None else self._encoded(call.texts) for call in calls]
        setattr(self.network, self._slot, torch.stack([each.to(images) for each in vectors]))
        self.network.model[-1].nc = len(calls[0].names)
        return super()._outputs(images, calls)

    def _encoded(self, texts: Sequence[Text]) -> torch.Tensor:
        """Return the vectors of texts, n × D, as the network keeps them."""
        self._phrases.keep(set(texts))
        vectors = self._phrases.vectors(texts)
        return self.network.model[-1].get_tpe(vectors[None])[0] if self._slot == "pe" else vectors

    def _answer(self, call: _Call, rows: torch.Tensor, prototypes: torch.Tensor | None) -> Any:  # noqa: ANN401
        found: tuple[Detection, ...] = super()._answer(call, rows, prototypes)
        if call.texts is None:
            return found
        told: tuple[Any, ...] = tuple(Grounding(phrase=one.label, score=one.score, box=one.box) for one in found)
        if call.capability == Capability.SEGMENT:
            told = tuple(Segment(mask=one.mask, score=one.score) for one in found if one.mask is not None)
        return Told(told, {"cut_phrases": call.cut}) if call.cut else told

    def _check(self, head: Any) -> None:  # noqa: ANN401
        wanted, given = head.cv3[0][-1].out_channels, self._phrases.size
        if given != wanted:
            raise ModelUnavailable(
                f"model {self.spec.name!r}: it takes vectors of {wanted} numbers, and its text encoder gives {given}; "
                f"name the one that it was trained with"
            )


def _looked_for(ask: Ask) -> tuple[str, ...]:
    """Return what a call looks for. Raises ModelError where it is to segment by anything but a phrase."""
    if ask.capability == Capability.GROUND:
        return tuple(dict.fromkeys(ask.arguments.get("phrases", ())))
    prompt = ask.arguments.get("prompt")
    if prompt is None or prompt.phrase is None or prompt.boxes or prompt.points:
        raise ModelError("this model segments what a phrase says; it takes no boxes and no points")
    return (prompt.phrase,)


PLAIN = "yolo11n.yaml"
"""What is built where nothing else is asked for."""


def learnable(architecture: str | None, start: Path | None, classes: tuple[str, ...]) -> Any:  # noqa: ANN401
    """Return a network of these classes that is ready to be trained; called with a batch, it returns its loss.

    `architecture` is a description that ultralytics ships (yolo11n.yaml), or None for that of `start`. What of `start`
    fits is taken from it (not the last layers of other classes), all else begins at random. Raises InvalidRequest
    where there is no such architecture, ModelUnavailable where `start` is no checkpoint.
    """
    earlier = None if start is None else _network(start).float()
    described = architecture or (earlier.yaml if earlier is not None else PLAIN)
    segments = isinstance(earlier, SegmentationModel) if architecture is None else "-seg" in architecture
    try:
        network = (SegmentationModel if segments else DetectionModel)(described, nc=len(classes), verbose=False)
    except FileNotFoundError as error:
        raise InvalidRequest(f"ultralytics ships no architecture {architecture!r}; try {PLAIN}") from error
    if earlier is not None:
        network.load_state_dict(intersect_dicts(earlier.state_dict(), network.state_dict()), strict=False)
    network.args = get_cfg()
    network.names = dict(enumerate(classes))
    return network.to(memory_format=torch.channels_last).train()


def draws_masks(network: Any) -> bool:  # noqa: ANN401
    """Say whether a network tells masks, and not boxes alone."""
    return isinstance(network, SegmentationModel)


def save(model: Any, classes: tuple[str, ...], side: int, out: Path, pairs: Pairs | None = None) -> None:  # noqa: ANN401
    """Save a checkpoint in half precision with what loading needs and nothing of this machine.

    `pairs` says how pairs are looked at, where the model was trained on such.
    """
    kept = deepcopy(model).half().to(memory_format=torch.contiguous_format).eval()
    kept.criterion = None
    kept.names = dict(enumerate(classes))
    kept.args = {"imgsz": side} | ({} if pairs is None else {"pairs": pairs.model_dump()})
    torch.save({"model": kept, "train_args": kept.args}, out)
