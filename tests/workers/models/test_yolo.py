"""The YOLO family, on the detector that ships."""

import gc
import hashlib
import pickle
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.errors import DeviceOutOfMemory, ModelError, ModelUnavailable
from domain.geometry import iou
from domain.vision import Capability, Detection
from tests.workers.models.contract import FamilyContract
from workers.imaging.masks import decode
from workers.models import family
from workers.models.family import Ask, Model, Pixels
from workers.registry import ModelSpec, load_profile
from workers.training.worlds.surfaces import CLASSES, HELD_OUT_TEXTURES, draw

pytestmark = pytest.mark.model

SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE = 1e-3
"""In shares of the picture's longer side."""
MASK_IOU = 0.98


def shipped() -> ModelSpec:
    spec = load_profile("embedded").find(Capability.DETECT)
    assert spec is not None
    return spec


def detect(pixels: Pixels, min_score: float = 0.25) -> Ask:
    return Ask(Capability.DETECT, (pixels,), {"min_score": min_score})


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    loaded = family.load(shipped())
    yield loaded
    loaded.close()


class TestYolo(FamilyContract):
    def asks(self) -> Sequence[Ask]:
        sizes = [(256, 256), (384, 384), (240, 320), (640, 200)]
        return [detect(draw(seed, size=size, defects=3).pixels, 0.1) for seed, size in enumerate(sizes)]

    def ask_of(self, pixels: Pixels) -> Ask:
        return detect(pixels, 0.01)

    def fresh(self) -> Model:
        return family.load(shipped())

    def check(self, ask: Ask, answer: Any) -> None:
        height, width = ask.pictures[0].shape[:2]
        assert isinstance(answer, tuple)
        assert [one.score for one in answer] == sorted((one.score for one in answer), reverse=True)
        for one in answer:
            assert isinstance(one, Detection)
            assert one.label in CLASSES
            assert one.score >= ask.arguments["min_score"]
            assert 0 <= one.box.x0 < one.box.x1 <= width
            assert 0 <= one.box.y0 < one.box.y1 <= height
            if one.mask is not None:
                assert (one.mask.height, one.mask.width) == (height, width)
                inner = one.mask.box
                assert inner.x0 >= one.box.x0 - 1
                assert inner.y0 >= one.box.y0 - 1
                assert inner.x1 <= one.box.x1 + 1
                assert inner.y1 <= one.box.y1 + 1

    def same(self, one: tuple[Detection, ...], other: tuple[Detection, ...]) -> bool:
        return len(one) == len(other) and all(_close(a, b) for a, b in zip(one, other, strict=True))


def _close(a: Detection, b: Detection) -> bool:
    if a.label != b.label or abs(a.score - b.score) > SCORE_TOLERANCE or (a.mask is None) != (b.mask is None):
        return False
    if a.mask is None or b.mask is None:
        return True
    reach = BOX_TOLERANCE * max(a.mask.height, a.mask.width)
    near = all(abs(p - q) <= reach for p, q in zip(a.box.xyxy, b.box.xyxy, strict=True))
    first, second = decode(a.mask), decode(b.mask)
    return near and (first & second).sum() / (first | second).sum() >= MASK_IOU


def test_the_detector_finds_most_of_what_is_drawn_on_textures_it_never_saw(model: Model) -> None:
    found = drawn = 0
    for seed in range(8_000, 8_020):
        surface = draw(seed, textures=HELD_OUT_TEXTURES, defects=2)
        (answer,) = model.run([model.prepare(detect(surface.pixels))])
        for defect in surface.defects:
            drawn += 1
            found += any(one.label == defect.label and _overlap(one, defect.mask) >= 0.5 for one in answer)

    assert drawn >= 35
    assert found / drawn >= 0.7


def _overlap(one: Detection, mask: Any) -> float:
    bits = decode(one.mask) if one.mask is not None else np.zeros_like(mask)
    return float((bits & mask).sum() / (bits | mask).sum())


def test_a_clean_surface_raises_no_alarm(model: Model) -> None:
    surfaces = [draw(seed, defects=0, textures=HELD_OUT_TEXTURES) for seed in range(8_100, 8_108)]

    answers = model.run([model.prepare(detect(surface.pixels, 0.5)) for surface in surfaces])

    assert all(answer == () for answer in answers)


def test_each_call_of_a_batch_has_its_own_least_score(model: Model) -> None:
    pixels = draw(8_200, defects=4).pixels

    (everything,) = model.run([model.prepare(detect(pixels, 0.01))])
    between = (everything[0].score + everything[-1].score) / 2

    low, high = model.run([model.prepare(detect(pixels, 0.01)), model.prepare(detect(pixels, between))])

    assert high == tuple(one for one in low if one.score >= between)
    assert len(low) > len(high) > 0


def test_a_picture_and_its_enlargement_give_the_same_places(model: Model) -> None:
    pixels = draw(8_200, defects=3).pixels
    twice = pixels.repeat(2, axis=0).repeat(2, axis=1)

    small, large = (model.run([model.prepare(detect(each, 0.5))])[0] for each in (pixels, twice))

    assert [one.label for one in small] == [one.label for one in large]
    for one, other in zip(small, large, strict=True):
        half = type(other.box)(**{key: value / 2 for key, value in other.box.model_dump().items()})
        assert iou(one.box, half) > 0.9


def test_a_piece_of_what_was_found_is_not_found_again_but_a_neighbour_is() -> None:
    import torch

    from workers.modelling.squares import distinct

    masks = torch.zeros(4, 16, 16, dtype=torch.bool)
    for step in range(16):
        masks[0, step, step] = True  # a diagonal scratch
    masks[1], masks[2] = masks[0], masks[0]
    masks[3, 0, 4:] = True
    boxes = [[0, 0, 64, 64], [0, 0, 28, 28], [0, 0, 28, 28], [16, 0, 64, 4]]  # whole, half, half as another class
    rows = torch.tensor(
        [[*box, 0.9 - 0.1 * k, label] for k, (box, label) in enumerate(zip(boxes, [0, 0, 1, 0], strict=True))]
    )

    assert distinct(masks, rows, side=64).tolist() == [0, 2, 3]


def test_it_knows_the_classes_it_was_trained_on(model: Model) -> None:
    assert model.classes == CLASSES


@pytest.mark.parametrize("min_score", [-0.1, 1.5, float("nan")])
def test_a_least_score_outside_its_range_is_refused(model: Model, min_score: float) -> None:
    with pytest.raises(ModelError, match="min_score"):
        model.prepare(detect(np.zeros((8, 8, 3), dtype=np.uint8), min_score))


def test_a_picture_without_pixels_or_colours_is_refused(model: Model) -> None:
    for shape in [(0, 5, 3), (5, 5), (5, 5, 4)]:
        with pytest.raises(ModelError, match="a picture is"):
            model.prepare(detect(np.zeros(shape, dtype=np.uint8)))


def test_closing_frees_the_network() -> None:
    loaded: Any = family.load(shipped())
    network = weakref.ref(loaded.network)

    loaded.close()
    gc.collect()

    assert network() is None


def test_running_out_of_memory_is_said_as_such(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def starve(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model.network, "forward", starve)  # type: ignore[attr-defined]

    with pytest.raises(DeviceOutOfMemory, match="batch of 2"):
        model.run([model.prepare(detect(np.zeros((8, 8, 3), dtype=np.uint8)))] * 2)


def test_the_shipped_file_is_small_and_in_half_precision() -> None:
    import torch

    from workers.models.yolo import _network

    path = shipped().path

    assert path.stat().st_size < 8_000_000
    assert {value.dtype for value in _network(path).parameters()} == {torch.float16}


def test_a_file_that_is_not_the_pinned_one_is_refused() -> None:
    spec = shipped().model_copy(update={"revision": "sha256:0123456789abcdef"})

    with pytest.raises(ModelUnavailable, match="not the pinned sha256:0123456789abcdef"):
        family.load(spec)


@pytest.mark.parametrize("revision", ["main", "sha256:", "sha256:12ab"])
def test_a_revision_that_pins_nothing_is_refused(revision: str) -> None:
    with pytest.raises(ModelUnavailable, match="pins nothing"):
        family.load(shipped().model_copy(update={"revision": revision}))


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    spec = shipped().model_copy(update={"source": str(tmp_path / "none.pt")})

    with pytest.raises(ModelUnavailable, match=r"none\.pt does not exist"):
        family.load(spec)


def _pinned(path: Path) -> ModelSpec:
    revision = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    return shipped().model_copy(update={"source": str(path), "revision": revision})


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.pt"
    path.write_text("not a checkpoint")

    with pytest.raises(ModelUnavailable, match="is not a YOLO checkpoint"):
        family.load(_pinned(path))


class _Trap:
    """Unpickled the unsafe way, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_checkpoint_that_carries_code_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    import torch

    trap, path = tmp_path / "sprung", tmp_path / "trap.pt"
    torch.save({"model": _Trap(trap)}, path)
    pickle.loads(pickle.dumps(_Trap(trap)))
    assert trap.exists()  # the trap works
    trap.unlink()

    with pytest.raises(ModelUnavailable, match="is not a YOLO checkpoint"):
        family.load(_pinned(path))

    assert not trap.exists()


def test_loading_touches_neither_the_network_nor_the_home(tmp_path: Path) -> None:
    script = """
import sys
def guard(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(guard)
from domain.vision import Capability
from workers.models import family
from workers.registry import load_profile
family.load(load_profile("embedded").find(Capability.DETECT))
"""
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    done = subprocess.run([sys.executable, "-c", script], env=home, capture_output=True, text=True, timeout=100)

    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_importing_it_leaves_everybodys_image_open_as_it_was() -> None:
    # given a process of its own, and what Pillow opens files with
    told = "from PIL import Image; before = Image.open; import workers.models.yolo; assert Image.open is before"
    # when the family is imported, then that is still what it was
    subprocess.run([sys.executable, "-c", told], check=True, timeout=100)
