"""The family `ocr`: text lines with RapidOCR (PP-OCR on onnxruntime), for `Capability.READ`.

RapidOCR carries the PP-OCRv6 small networks in its wheel. They are named by path and checked against the revision of
the profile, because RapidOCR would download a file that is missing or differs; here that is an error. What the
application decides on (which lines are sure enough, in which order they are read) is not decided here.

Every picture is searched, and every crop is recognised, by itself: RapidOCR pads the crops of a batch to the widest of
them, which changes the answers with the company and, on a CPU, costs twice the time. What a batch shares is the cache
of crops, so that a sign in twenty frames is recognised once.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import rapidocr
from rapidocr import RapidOCR
from rapidocr.inference_engine.onnxruntime.main import ONNXRuntimeError
from rapidocr.main import RapidOCRError

from domain.errors import DeviceOutOfMemory, ModelError, ModelUnavailable
from domain.geometry import Polygon
from domain.vision import TextRegion
from workers.models.family import Ask, Pixels, Prepared, ScoreKind
from workers.registry import ModelSpec

DETECTOR = "PP-OCRv6_det_small.onnx"
RECOGNISER = "PP-OCRv6_rec_small.onnx"
STRIDE = 32
"""Both sides of the detector's input are multiples of this."""
MARGIN = 8
"""Pixels of repeated border around the detector's input: the detector misses letters that touch an edge."""
LINE_HEIGHT = 48
"""The height of the recogniser's input in pixels."""
SMALL_SIDE = 320
"""A picture whose longer side is below this is enlarged, at most fourfold."""
UNSURE = 0.7
"""Below this confidence a line is read upside down as well; the surer reading counts."""

Corners = npt.NDArray[np.float64]
"""Four corners as 4 x 2 (x, y) in pixels, from the text's own top left, clockwise."""


@dataclass(frozen=True)
class Page:
    """A picture ready to be searched: itself (BGR), its copy at the detector's size, and copy ÷ picture in scale."""

    pixels: Pixels
    shrunk: Pixels
    scale: float


@dataclass(frozen=True)
class Line:
    """What a crop says and how sure the recogniser is, in [0, 1]."""

    text: str
    confidence: float


def load(spec: ModelSpec) -> "Reader":
    """Check the packaged networks and load them.

    Raises ModelUnavailable where a file is missing or is not the one that the profile names.
    """
    folder = Path(str(rapidocr.__file__)).parent / "models"
    files = (folder / DETECTOR, folder / RECOGNISER)
    found = packaged_revision(files)
    if found != spec.revision:
        raise ModelUnavailable(
            f"model {spec.name!r}: the networks in {folder} are {found}, the profile names {spec.revision}; "
            f"install the rapidocr of requirements.lock or correct the profile"
        )
    return Reader(spec, files)


def packaged_revision(files: Sequence[Path]) -> str:
    """Return `sha256:` of the files' bytes, one after the other (detector, then recogniser).

    Raises ModelUnavailable where one is missing.
    """
    digest = sha256()
    for path in files:
        if not path.is_file():
            raise ModelUnavailable(f"the network {path} is missing; install the extra `worker` again")
        digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


class Reader:
    """The loaded networks.

    Options of the profile: `threads` (of onnxruntime, default 1), `search_pixels` (size of the detector's input,
    default 230400, say 554 x 416) and `cached_lines` (default 4096).
    """

    preprocessing = "ocr-page-1"
    scores = ScoreKind.MEAN
    dtype = "float32"
    device = "cpu"
    classes: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec, files: Sequence[Path]) -> None:
        self._search_pixels = int(spec.options.get("search_pixels", 230_400))
        self._engine: Any = _engine(files, threads=int(spec.options.get("threads", 1)))
        self._lines = LineCache(spec.revision, int(spec.options.get("cached_lines", 4096)))

    def prepare(self, ask: Ask) -> Prepared:
        """Bring the picture to the detector's size. Raises ModelError on anything but one H x W x 3 picture."""
        if len(ask.pictures) != 1 or ask.pictures[0].ndim != 3 or ask.pictures[0].shape[2] != 3:
            raise ModelError(f"reading takes one picture of H x W x 3, not {[p.shape for p in ask.pictures]}")
        page = page_of(ask.pictures[0], self._search_pixels)
        height, width = page.shrunk.shape[:2]
        return Prepared(payload=page, group=ask.capability, pixels=height * width)

    def run(self, batch: Sequence[Prepared]) -> list[tuple[TextRegion, ...]]:
        """Return the text lines of each picture, unordered; an empty picture has none."""
        try:
            return [self._read(prepared.payload) for prepared in batch]
        except MemoryError as error:
            raise DeviceOutOfMemory(f"reading ran out of memory: {error}") from error
        except ONNXRuntimeError as error:
            if "alloc" in str(error):
                raise DeviceOutOfMemory(f"reading ran out of memory: {error}") from error
            raise ModelError(f"reading failed: {error}") from error

    def close(self) -> None:
        """Release the networks and the remembered lines."""
        self._engine = None
        self._lines = LineCache("closed", 0)

    def _read(self, page: Page) -> tuple[TextRegion, ...]:
        regions = []
        for corners in self._search(page):
            turned, line = self._recognise(page.pixels, corners)
            if line.text:
                points = tuple((float(x), float(y)) for x, y in turned)
                quad = Polygon(points=points)
                regions.append(TextRegion(quad=quad, text=line.text, confidence=line.confidence))
        return tuple(regions)

    def _search(self, page: Page) -> list[Corners]:
        """Find the lines of a page, as corners in full-resolution pixels."""
        try:
            _, found = self._engine.detect_and_crop(page.shrunk, {})
        except RapidOCRError:  # RapidOCR raises where it finds no text at all
            return []
        height, width = page.pixels.shape[:2]
        boxes = (np.asarray(found.boxes, dtype=np.float64) - MARGIN) / page.scale
        lines = [np.clip(box, 0.0, (width, height)) for box in boxes]
        return [upright(line) for line in lines if min(_sides(line)) >= 1.0]

    def _recognise(self, pixels: Pixels, corners: Corners) -> tuple[Corners, Line]:
        """Read one line; where that is unsure, upside down as well. Returns the corners as the text stands."""
        line = self._line(pixels, corners)
        if line.confidence >= UNSURE:
            return corners, line
        over = np.roll(corners, 2, axis=0)
        turned = self._line(pixels, over)
        return (over, turned) if turned.confidence > line.confidence else (corners, line)

    def _line(self, pixels: Pixels, corners: Corners) -> Line:
        crop = straighten(pixels, corners)
        key = self._lines.key(crop)
        known = self._lines.get(key)
        if known is None:
            told = self._engine.recognize_txt([crop])
            known = Line(str(told.txts[0]).strip(), min(max(float(told.scores[0]), 0.0), 1.0))
            self._lines.put(key, known)
        return known


class LineCache:
    """Lines by the hash of their crop and the networks' revision; the least recently used go first."""

    def __init__(self, revision: str, size: int) -> None:
        self._seed = revision.encode()
        self._size = size
        self._lines: OrderedDict[bytes, Line] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lines)

    def key(self, crop: Pixels) -> bytes:
        """Name a crop: its size, its bytes and the revision that reads it."""
        digest = blake2b(self._seed, digest_size=16)
        digest.update(repr(crop.shape).encode())
        digest.update(crop.tobytes())
        return digest.digest()

    def get(self, key: bytes) -> Line | None:
        """Return the line of a crop that was read before."""
        line = self._lines.get(key)
        if line is not None:
            self._lines.move_to_end(key)
        return line

    def put(self, key: bytes, line: Line) -> None:
        """Keep a line, and let the oldest go where that is one too many."""
        self._lines[key] = line
        while len(self._lines) > self._size:
            self._lines.popitem(last=False)


def page_of(pixels: Pixels, search_pixels: int) -> Page:
    """Shrink (or, where it is small, enlarge) a picture to the detector's size, with a margin, in multiples of 32.

    The area is bounded, not the longer side: a panorama keeps the letters that a bound on its side would lose.
    """
    height, width = pixels.shape[:2]
    scale = min(4.0, max(1.0, SMALL_SIDE / max(height, width)), (search_pixels / (height * width)) ** 0.5)
    picture = np.ascontiguousarray(pixels[:, :, ::-1])
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    inner = cv2.resize(picture, size, interpolation=how)
    right, bottom = (-(side + 2 * MARGIN) % STRIDE + MARGIN for side in size)
    shrunk = cv2.copyMakeBorder(inner, MARGIN, bottom, MARGIN, right, cv2.BORDER_REPLICATE)
    return Page(picture, np.asarray(shrunk, dtype=np.uint8), scale)


def upright(corners: Corners) -> Corners:
    """Turn the corners of a line that stands on end so that it starts at the top: text on end reads downwards."""
    along, across = _sides(corners)
    return np.roll(corners, -1, axis=0) if across >= 1.5 * along else corners


def straighten(pixels: Pixels, corners: Corners) -> Pixels:
    """Cut a line out and stretch it level, at most 48 pixels high (BGR in, BGR out)."""
    along, across = (max(2, round(side)) for side in _sides(corners))
    target = np.array([[0, 0], [along, 0], [along, across], [0, across]], dtype=np.float32)
    turn = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    crop = cv2.warpPerspective(pixels, turn, (along, across), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if across > LINE_HEIGHT:
        width = max(2, round(along * LINE_HEIGHT / across))
        crop = cv2.resize(crop, (width, LINE_HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, dtype=np.uint8)


def _sides(corners: Corners) -> tuple[float, float]:
    """Return the longer of the sides along the text and of those across it, in pixels."""
    top, right, bottom, left = (float(np.linalg.norm(corners[i] - corners[(i + 1) % 4])) for i in range(4))
    return max(top, bottom), max(right, left)


def _engine(files: Sequence[Path], threads: int) -> RapidOCR:
    detector, recogniser = files
    return RapidOCR(
        params={
            "Global.use_cls": False,
            "Global.use_vertical_padding": False,
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.model_path": str(detector),
            "Det.limit_type": "max",
            "Det.limit_side_len": 100_000,  # pages come at their final size
            "Rec.model_path": str(recogniser),
            "Rec.rec_img_shape": [3, LINE_HEIGHT, LINE_HEIGHT],  # no padding of short lines
        }
    )
