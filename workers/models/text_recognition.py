"""The family `text_recognition`: text lines through transformers, for `Capability.READ`.

TrOCR, which writes a line token by token (Li et al. 2021), and PP-OCR's recognisers, which name a character for each
column and drop repetitions (connectionist temporal classification, Graves et al. 2006). By itself a recogniser takes
the whole picture for one line. With a detector of PP-OCR beside it, lines are found first, cut out level, and each is
read. The family `ocr` reads with the same networks on onnxruntime; this one is for GPUs and for TrOCR.

Each line is prepared by itself, and only lines of the same shape are read together: none is padded for another's sake.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch.nn.functional import log_softmax
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForObjectDetection,
    AutoModelForTextRecognition,
    AutoTokenizer,
    VisionEncoderDecoderModel,
)
from transformers.models.trocr.modeling_trocr import TrOCRSinusoidalPositionalEmbedding

from domain.errors import ModelError, ModelUnavailable
from domain.geometry import Polygon
from domain.vision import Capability, TextRegion
from workers.modelling.checkpoint import Checkpoint, Place, finite, folder, one_picture, place, pretrained, processor
from workers.modelling.decoding import Stopped
from workers.modelling.options import Part, Tempered, options
from workers.models.family import Ask, Pixels, Prepared, ScoreKind, Told
from workers.registry import ModelSpec

LINES_AT_ONCE = 16
"""So many lines are held and read at a time: a page may have a thousand."""
ON_END = 1.5
"""A line that is so many times higher than wide stands on end, and is read downwards."""

Corners = npt.NDArray[np.float64]
"""Four corners as 4 x 2 (x, y) in pixels, from the text's own top left, clockwise."""


class Options(Tempered):
    """The options of a row; see `load`."""

    detector: Part | None = None
    threshold: float = Field(default=0.3, ge=0, le=1)
    box_threshold: float = Field(default=0.6, ge=0, le=1)
    unclip_ratio: float = Field(default=1.5, gt=0)
    max_new_tokens: int = Field(default=128, ge=1)


def load(spec: ModelSpec) -> "TextRecogniser":
    """Load a recogniser, and the detector that the profile names.

    Options: `detector` (a table with the `source` and the `revision` of a PP-OCR detector), `threshold` (of its map,
    default 0.3), `box_threshold` (of a line's mean, default 0.6), `unclip_ratio` (by how much lines are widened,
    default 1.5), `max_new_tokens` (of TrOCR, for a line, default 128), `temperature` (of the confidences, from a
    calibration), `threads`. Raises ModelUnavailable.
    """
    told = options(spec, Options, {Capability.READ})
    path, at = folder(spec), place(spec)
    recogniser = _recogniser(spec, path, at, told)
    detector = None if told.detector is None else _Detector(spec.checkpoints["detector"], at, told)
    return TextRecogniser(spec, at, recogniser, detector)


@dataclass(frozen=True, eq=False)
class _Call:
    """A picture; and as a tensor of a batch of one either the picture to search or, with no detector, the line."""

    pixels: Pixels
    values: torch.Tensor


@dataclass(frozen=True)
class _Line:
    """What a line says, how sure that is, in [0, 1], and whether it went on."""

    text: str
    confidence: float
    cut: bool = False


class TextRecogniser(Checkpoint):
    """A loaded recogniser, with or without a detector."""

    preprocessing = "text-recognition/1"
    scores = ScoreKind.MEAN

    def __init__(self, spec: ModelSpec, at: Place, recogniser: "_Recogniser", detector: "_Detector | None") -> None:
        super().__init__(spec, at, recogniser.network)
        self._recogniser, self._detector = recogniser, detector

    def prepare(self, ask: Ask) -> Prepared:
        """Preprocess one picture. Raises ModelError on another capability, or other than one picture."""
        if ask.capability != Capability.READ:
            raise ModelError(f"this model reads text; it cannot {ask.capability}")
        pixels = one_picture(ask)
        values = _values((self._detector or self._recogniser).images, pixels)
        return Prepared(_Call(pixels, values), group=tuple(values.shape[1:]), pixels=max(values.numel() // 3, 1))

    def answers(self, batch: Sequence[Prepared]) -> list[tuple[TextRegion, ...] | Told]:
        """Return each picture's lines that say anything, in no particular order.

        Told with them: `dropped_boxes` (lines of no size), `cut_lines` (which reached `max_new_tokens`).
        """
        found = self._found(batch)
        places = [(row, corners) for row, (lines, _) in enumerate(found) for corners in lines]
        read: list[list[tuple[Corners, _Line]]] = [[] for _ in batch]
        for start in range(0, len(places), LINES_AT_ONCE):
            some = [place for place in places[start : start + LINES_AT_ONCE] if not batch[place[0]].stopped.is_set()]
            for (row, corners), line in zip(some, self._read(batch, some), strict=True):
                read[row].append((corners, line))
        return [_told(lines, dropped) for lines, (_, dropped) in zip(read, found, strict=True)]

    def close(self) -> None:
        """Release the networks."""
        self._recogniser.network = None
        if self._detector is not None:
            self._detector.network = None
        super().close()

    def _found(self, batch: Sequence[Prepared]) -> list[tuple[list[Corners], int]]:
        """Return the corners of each picture's lines, and how many of no size were dropped."""
        calls: list[_Call] = [prepared.payload for prepared in batch]
        sizes = [(call.pixels.shape[1], call.pixels.shape[0]) for call in calls]
        if self._detector is None:
            return [([np.array([[0, 0], [w, 0], [w, h], [0, h]], dtype=np.float64)], 0) for w, h in sizes]
        found = self._detector.find(torch.cat([call.values for call in calls]), sizes)
        kept = [[upright(corners) for corners in lines if min(_sides(corners)) >= 1] for lines in found]
        return [(some, len(lines) - len(some)) for some, lines in zip(kept, found, strict=True)]

    def _read(self, batch: Sequence[Prepared], places: Sequence[tuple[int, Corners]]) -> list[_Line]:
        """Read some lines, those of one shape together."""
        values = [self._line(batch[row].payload, corners) for row, corners in places]
        read: dict[int, _Line] = {}
        for shape in dict.fromkeys(value.shape for value in values):
            alike = [index for index, value in enumerate(values) if value.shape == shape]
            stacked = torch.cat([values[index] for index in alike]).to(self.at.device, self.at.dtype)
            lines = self._recogniser.read(stacked, [batch[places[index][0]] for index in alike])
            read.update(zip(alike, lines, strict=True))
        return [read[index] for index in range(len(places))]

    def _line(self, call: _Call, corners: Corners) -> torch.Tensor:
        return call.values if self._detector is None else _values(self._recogniser.images, level(call.pixels, corners))


class _Recogniser:
    """A network that reads lines, and what prepares them."""

    def __init__(self, spec: ModelSpec, path: Path, at: Place, told: Options, architecture: Any) -> None:  # noqa: ANN401
        self.network: Any = pretrained(architecture, path, at)
        self.images = processor(AutoImageProcessor, path)
        self.temperature = told.temperature

    def read(self, values: torch.Tensor, calls: Sequence[Prepared]) -> list[_Line]:
        """Read lines, B × 3 × H × W, each of the call beside it."""
        raise NotImplementedError


class _ByColumn(_Recogniser):
    """PP-OCR: a character or none for each column; the confidence is the characters' mean, as PaddleOCR has it."""

    def __init__(self, spec: ModelSpec, path: Path, at: Place, told: Options) -> None:
        super().__init__(spec, path, at, told, AutoModelForTextRecognition)
        self._characters = tuple(self.images.character_list)
        outputs = int(self.network.config.head_out_channels)
        if len(self._characters) != outputs:
            raise ModelUnavailable(
                f"model {spec.name!r}: its image processor names {len(self._characters)} characters, and it tells "
                f"{outputs} apart"
            )

    def read(self, values: torch.Tensor, calls: Sequence[Prepared]) -> list[_Line]:
        """See _Recogniser."""
        shares = self.network(pixel_values=values).last_hidden_state.float()
        finite(shares)
        if self.temperature != 1:
            shares = torch.softmax(shares.clamp_min(1e-12).log() / self.temperature, dim=-1)
        best, indices = shares.max(dim=-1)
        return [self._said(*row) for row in zip(best.tolist(), indices.tolist(), strict=True)]

    def _said(self, shares: Sequence[float], indices: Sequence[int]) -> _Line:
        before = [0, *indices[:-1]]
        kept = [place for place, index in enumerate(indices) if index not in {0, before[place]}]  # 0 stands for none
        text = "".join(self._characters[indices[place]] for place in kept)
        return _Line(text, sum(shares[place] for place in kept) / max(len(kept), 1))


class _ByToken(_Recogniser):
    """TrOCR: a decoder writes the line; the confidence is the geometric mean of its tokens' probabilities."""

    def __init__(self, spec: ModelSpec, path: Path, at: Place, told: Options) -> None:
        super().__init__(spec, path, at, told, VisionEncoderDecoderModel)
        self._tokenizer = processor(AutoTokenizer, path)
        self.network.generation_config.max_length = None  # two limits would be warned of with every line
        decoder = self.network.config.decoder
        # RoBERTa and its kin count positions from behind the padding's number.
        before = decoder.pad_token_id + 1 if "roberta" in decoder.model_type else 0
        self._room = min(told.max_new_tokens, int(decoder.max_position_embeddings) - before - 1)
        for module in self.network.modules():
            if isinstance(module, TrOCRSinusoidalPositionalEmbedding):
                _compute(module, decoder.max_position_embeddings, at)

    def read(self, values: torch.Tensor, calls: Sequence[Prepared]) -> list[_Line]:
        """See _Recogniser."""
        told = self.network.generate(
            pixel_values=values,
            max_new_tokens=self._room,
            num_beams=1,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            stopping_criteria=[Stopped([call.stopped for call in calls])],
        )
        ids = told.sequences[:, 1:]
        logits = torch.stack(told.logits, dim=1).float() / self.temperature
        finite(logits)
        logs = log_softmax(logits, dim=-1).gather(2, ids[..., None])[..., 0]
        return [self._said(*row) for row in zip(ids.tolist(), logs, strict=True)]

    def _said(self, ids: Sequence[int], logs: torch.Tensor) -> _Line:
        end = self.network.generation_config.eos_token_id
        length = ids.index(end) + 1 if end in ids else len(ids)
        text = str(self._tokenizer.decode(ids[:length], skip_special_tokens=True)).strip()
        return _Line(text, float(logs[:length].mean().exp()), cut=end not in ids)


class _Detector:
    """A detector of PP-OCR: a map of how likely each pixel is text, and boxes around what is (Liao et al. 2020)."""

    def __init__(self, spec: ModelSpec, at: Place, told: Options) -> None:
        path = folder(spec)
        kind = processor(AutoConfig, path).model_type
        if not (kind.startswith("pp_ocr") and kind.endswith("_det")):
            raise ModelUnavailable(f"model {spec.name!r}: the detector is a {kind!r}, and no detector of PP-OCR")
        self.network: Any = pretrained(AutoModelForObjectDetection, path, at)
        self.images = processor(AutoImageProcessor, path)
        self._limits = told.model_dump(include={"threshold", "box_threshold", "unclip_ratio"})
        self._at = at

    def find(self, values: torch.Tensor, sizes: Sequence[tuple[int, int]]) -> list[list[Corners]]:
        """Find the lines of pictures (B × 3 × H × W, their own widths and heights), in the pictures' own pixels."""
        told = self.network(pixel_values=values.to(self._at.device, self._at.dtype))
        told.last_hidden_state = told.last_hidden_state.float()
        finite(told.last_hidden_state)
        # In the map's own size: the boxes come back as 16-bit numbers, which a long panorama would overflow.
        of_map = torch.tensor(values.shape[2:])
        found = self.images.post_process_object_detection(told, target_sizes=[of_map] * len(sizes), **self._limits)
        scales = [np.array(size) / of_map.numpy()[::-1] for size in sizes]
        return [
            [np.clip(np.array(box) * scale, 0.0, size) for box in one["boxes"].reshape(-1, 4, 2).tolist()]
            for one, scale, size in zip(found, scales, sizes, strict=True)
        ]


def level(pixels: Pixels, corners: Corners) -> Pixels:
    """Cut a line out of a picture and stretch it level."""
    along, across = (max(2, round(side)) for side in _sides(corners))
    target = np.array([[0, 0], [along, 0], [along, across], [0, across]], dtype=np.float32)
    turn = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    cut = cv2.warpPerspective(pixels, turn, (along, across), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, dtype=np.uint8)


def upright(corners: Corners) -> Corners:
    """Turn the corners of a line that stands on end so that it starts at the top."""
    along, across = _sides(corners)
    return np.roll(corners, -1, axis=0) if across >= ON_END * along else corners


def _recogniser(spec: ModelSpec, path: Path, at: Place, told: Options) -> _Recogniser:
    kind = processor(AutoConfig, path).model_type
    if kind == "vision-encoder-decoder":
        return _ByToken(spec, path, at, told)
    if kind.startswith("pp_ocr") and kind.endswith("_rec"):
        return _ByColumn(spec, path, at, told)
    raise ModelUnavailable(f"model {spec.name!r}: a {kind!r} is neither TrOCR nor a recogniser of PP-OCR")


def _compute(sines: TrOCRSinusoidalPositionalEmbedding, positions: int, at: Place) -> None:
    """Compute the positions of TrOCR's large printed kind: they are no weights, and loading leaves them empty."""
    count = positions + sines.padding_idx + 1
    sines.weights = sines.get_embedding(count, sines.embedding_dim, sines.padding_idx).to(at.device, at.dtype)


def _values(images: Any, pixels: Pixels) -> torch.Tensor:  # noqa: ANN401
    """Return a picture's tensor, 1 × 3 × H × W."""
    return images([pixels], input_data_format="channels_last", return_tensors="pt")["pixel_values"]  # type: ignore[no-any-return]


def _sides(corners: Corners) -> tuple[float, float]:
    """Return the longer of the sides along the text and of those across it, in pixels."""
    top, right, bottom, left = (float(np.linalg.norm(corners[i] - corners[(i + 1) % 4])) for i in range(4))
    return max(top, bottom), max(right, left)


def _told(lines: Sequence[tuple[Corners, _Line]], dropped: int) -> tuple[TextRegion, ...] | Told:
    regions = tuple(_regions(lines))
    cut = sum(line.cut for _, line in lines)
    remarks = {name: count for name, count in (("dropped_boxes", dropped), ("cut_lines", cut)) if count}
    return Told(regions, remarks) if remarks else regions


def _regions(lines: Sequence[tuple[Corners, _Line]]) -> Iterator[TextRegion]:
    for corners, line in lines:
        text = line.text.strip()
        if text:
            quad = Polygon(points=tuple((float(x), float(y)) for x, y in corners))
            yield TextRegion(quad=quad, text=text, confidence=min(line.confidence, 1.0))
