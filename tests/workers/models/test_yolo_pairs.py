"""YOLO networks that compare a picture with its golden reference."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.errors import ModelError, ModelUnavailable, RegistrationFailed
from domain.vision import Capability, Detection
from tests.workers.imaging.boards import board
from tests.workers.models.contract import ODD_SIZES, FamilyContract, grey
from tests.workers.models.yolo_toys import CLASSES, SIDE, save_pairs
from workers.hub import digest
from workers.modelling.pairs import Pairs, compares
from workers.models import family
from workers.models.family import Ask, Model, Pixels, Told
from workers.registry import ModelSpec, load_profile

pytestmark = pytest.mark.model

HOW = Pairs(window=SIDE)
SCORE_TOLERANCE, BOX_TOLERANCE = 1e-3, 0.5


def spotted(seed: int, count: int, size: tuple[int, int] = (160, 200)) -> tuple[Pixels, Pixels]:
    """Return a board with spots of a hand's breadth of pixels, and the board without."""
    golden = board(seed, *size)
    picture, rng = golden.copy(), np.random.default_rng(seed)
    for _ in range(count):
        y, x = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 12)
        picture[y : y + 8, x : x + 12] = 255 - picture[y : y + 8, x : x + 12]
    return picture, golden


def compare(picture: Pixels, golden: Pixels, min_score: float = 0.05) -> Ask:
    return Ask(Capability.DETECT, (picture, golden), {"min_score": min_score})


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    file = tmp_path_factory.mktemp("pairs") / "pairs.pt"
    save_pairs(file, HOW)
    return ModelSpec(
        name="boards",
        family="yolo",
        capabilities=(Capability.DETECT,),
        source=str(file),
        revision=digest(file),
        licence="made up",
        options={"threads": 1},
    )


@pytest.fixture(scope="module")
def model(row: ModelSpec) -> Iterator[Model]:
    loaded = family.load(row)
    yield loaded
    loaded.close()


class TestPairs(FamilyContract):
    @pytest.fixture(autouse=True)
    def _row(self, row: ModelSpec) -> None:
        self.row = row

    def asks(self) -> Sequence[Ask]:
        return [compare(*spotted(seed, count)) for seed, count in ((1, 1), (2, 4), (3, 2))]

    def ask_of(self, pixels: Pixels) -> Ask:
        return compare(pixels, np.roll(pixels, 3, axis=1))

    def fresh(self) -> Model:
        return family.load(self.row)

    @pytest.mark.parametrize("size", ODD_SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    def test_a_picture_of_an_odd_size_is_answered(self, model: Model, size: tuple[int, int]) -> None:
        if size != (1, 1):
            super().test_a_picture_of_an_odd_size_is_answered(model, size)
            return
        with pytest.raises(RegistrationFailed, match="shows too little"):
            model.prepare(self.ask_of(grey(*size)))

    def check(self, ask: Ask, answer: Any) -> None:
        height, width = ask.pictures[0].shape[:2]
        assert isinstance(answer, Told)
        assert answer.remarks["compared_with"] == "reference"
        assert [one.score for one in answer.value] == sorted((one.score for one in answer.value), reverse=True)
        for one in answer.value:
            assert isinstance(one, Detection)
            assert one.label in CLASSES
            assert one.score >= ask.arguments["min_score"]
            assert 0 <= one.box.x0 <= one.box.x1 <= width
            assert 0 <= one.box.y0 <= one.box.y1 <= height

    def same(self, one: Told, other: Told) -> bool:
        return (
            one.remarks == other.remarks
            and len(one.value) == len(other.value)
            and all(_close(a, b) for a, b in zip(one.value, other.value, strict=True))
        )


def _close(a: Detection, b: Detection) -> bool:
    near = all(abs(p - q) <= BOX_TOLERANCE for p, q in zip(a.box.xyxy, b.box.xyxy, strict=True))
    return near and a.label == b.label and abs(a.score - b.score) <= SCORE_TOLERANCE


def test_it_looks_only_where_the_two_differ(model: Model) -> None:
    picture, golden = spotted(1, 1)

    one, none = model.run([model.prepare(compare(picture, golden)), model.prepare(compare(golden, golden))])

    assert (one.remarks["windows"], none.remarks["windows"]) == (1, 0)
    assert len(one.value) > 0
    assert none.value == ()


def test_a_batch_in_which_nothing_differs_is_answered_without_the_network(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.network, "forward", None)  # type: ignore[attr-defined]
    golden = board()

    answers = model.run([model.prepare(compare(golden, golden))] * 2)

    assert [answer.value for answer in answers] == [(), ()]


def test_it_says_that_it_compares_and_how(model: Model) -> None:
    assert compares(model)
    assert model.preprocessing == f"pairs{SIDE}to{SIDE}/2"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_anything_but_a_picture_with_its_reference_is_refused(model: Model, count: int) -> None:
    with pytest.raises(ModelError, match="trained on pairs; it needs a golden reference"):
        model.prepare(Ask(Capability.DETECT, (board(),) * count, {}))


def test_a_reference_that_was_not_laid_over_is_refused(model: Model) -> None:
    with pytest.raises(ModelError, match="a picture of 320 × 240 and a reference of 60 × 50 pixels"):
        model.prepare(compare(board(), board(height=50, width=60)))


def test_a_pair_of_two_quite_different_pictures_is_answered_or_refused_but_not_endless(model: Model) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (240, 320, 3)).astype(np.uint8)

    (answer,) = model.run([model.prepare(compare(board(), noise))])

    assert answer.remarks["windows"] < 100


def test_a_model_that_was_not_trained_on_pairs_refuses_a_reference() -> None:
    spec = load_profile("embedded").find(Capability.DETECT)
    assert spec is not None
    single = family.load(spec)

    with pytest.raises(ModelError, match="not trained on pairs; it takes no reference"):
        single.prepare(compare(board(), board()))

    assert not compares(single)
    single.close()


def test_of_pairs_no_masks_are_served(tmp_path: Path, row: ModelSpec) -> None:
    from workers.models import yolo

    file = tmp_path / "masks.pt"
    network = yolo.SegmentationModel("yolo11n-seg.yaml", nc=1, verbose=False)
    yolo.save(network, ("x",), SIDE, file, HOW)

    with pytest.raises(ModelUnavailable, match="of pairs only boxes are learnt"):
        family.load(row.model_copy(update={"source": str(file), "revision": digest(file)}))
