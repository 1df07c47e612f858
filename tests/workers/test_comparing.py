"""A job's pictures compared with a golden reference: from the application down to a network that learnt from pairs."""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, cast
from uuid import uuid4

import cv2
import numpy as np
import pytest

from domain.applications.application import Case, Memory
from domain.applications.inspection.contract import APPLICATION
from domain.applications.inspection.recipe import Verdict
from domain.applications.inspection.result import InspectionResult
from domain.errors import ModelError, RegistrationFailed
from domain.vision import Capability
from storage.claims import ClaimedJob
from tests.workers.imaging.boards import Moved, board
from tests.workers.models.yolo_toys import CLASSES, SIDE, save_pairs
from workers.device import Device
from workers.hub import digest
from workers.imaging.decode import Pixels
from workers.modelling.pairs import Pairs
from workers.models import family
from workers.models.family import Model
from workers.registry import ModelSpec, Profile, Registry, load_profile
from workers.residency import Residency
from workers.vision import JobVision

pytestmark = pytest.mark.model

RECIPE = {
    "classes": list(CLASSES),
    "rules": [{"name": "any", "outcome": "REJECT"}],
    "min_score": 0.1,
    "review_score": 0.1,
    "reference": {"min_covered": 0.95},  # the pictures of these tests lie further apart than a fixture lets parts lie
}


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    file = tmp_path_factory.mktemp("pairs") / "pairs.pt"
    save_pairs(file, Pairs(window=SIDE))
    told: dict[str, Any] = {"source": str(file), "revision": digest(file), "licence": "made up"}
    return ModelSpec(name="boards", family="yolo", capabilities=(Capability.DETECT,), options={"threads": 1}, **told)


@pytest.fixture
def vision(row: ModelSpec) -> Iterator[JobVision]:
    device = Device("test", guard=lambda _jobs, _limit: nullcontext(), died=lambda reason: None)
    models: list[Model] = []

    def loader(spec: ModelSpec) -> Callable[[ModelSpec], Model]:
        load = family.loader(spec)
        return lambda told: models.append(load(told)) or models[-1]

    single = load_profile("embedded").find(Capability.DETECT)
    assert single is not None
    profile = Profile(models=(row, single), defaults={Capability.DETECT: single.name})
    job = ClaimedJob(uuid4(), 1, "acme", "inspection", "standard", {}, (), 0, False, None)
    residency = Residency(lambda name: device, loader)
    yield JobVision(job, 0, math.inf, Registry(profile), residency, lambda: None)
    device.close()
    for model in models:
        model.close()


def inspect(vision: JobVision, *shown: Pixels, **more: Any) -> InspectionResult:
    pictures = tuple(vision.picture(str(number), pixels) for number, pixels in enumerate(shown))
    asked = APPLICATION.parse({"model": "boards", "recipe": RECIPE, "reference": 0, **more})
    return APPLICATION.run(Case(asked, pictures, vision, cast("Memory", None)))


def test_a_moved_picture_is_laid_under_its_reference_and_judged_by_what_differs(vision: JobVision) -> None:
    spoilt = board()
    spoilt[100:112, 150:166] = 255 - spoilt[100:112, 150:166]

    result = inspect(vision, Moved(dx=6, dy=-3, turned=1).shot(board()), spoilt, board())

    assert [one.passed for one in result.comparisons] == [True, True]
    assert all(one.registration and one.registration.shift_px > 5 for one in result.comparisons)
    assert {one.image for one in result.defects} == {1}
    assert result.verdict is Verdict.REJECT
    spoiled, clean = vision.calls
    assert (spoiled.remarks, clean.remarks) == (
        {"compared_with": "reference", "windows": 1},
        {"compared_with": "reference", "windows": 0},
    )
    assert spoiled.preprocessing == f"pairs{SIDE}to{SIDE}/2"


@pytest.mark.parametrize(
    "reference",
    [board(5), np.full_like(board(), 128), board(5, 120, 160), np.zeros((1, 1, 3), dtype=np.uint8)],
    ids=["another board", "blank", "another board of another size", "a single pixel"],
)
def test_a_reference_that_shows_something_else_decides_nothing(vision: JobVision, reference: Pixels) -> None:
    result = inspect(vision, reference, board(), recipe={**RECIPE, "quality": {"min_brightness": 0, "min_contrast": 0}})

    assert result.verdict is Verdict.UNDECIDED
    assert [reason.rule for reason in result.reasons] == ["reference"]
    assert vision.calls == []


def test_a_smaller_reference_of_the_same_is_as_good(vision: JobVision) -> None:
    smaller = cv2.resize(board(), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)

    result = inspect(vision, np.asarray(smaller, dtype=np.uint8), board())

    assert result.comparisons[0].passed
    assert result.comparisons[0].registration is not None
    assert result.comparisons[0].registration.scale == pytest.approx(0.6, abs=0.02)


def test_a_model_takes_a_reference_if_and_only_if_it_was_trained_on_pairs(vision: JobVision) -> None:
    picture, golden = vision.picture("a", board()), vision.picture("g", board())
    laid, _ = vision.align(picture, golden)

    with pytest.raises(ModelError, match="it needs a golden reference"):
        vision.detect(picture, model="boards")
    with pytest.raises(ModelError, match="it takes no reference"):
        vision.detect(picture, reference=laid)


def test_what_cannot_be_aligned_is_an_error_of_its_own(vision: JobVision) -> None:
    with pytest.raises(RegistrationFailed):
        vision.align(vision.picture("a", board()), vision.picture("b", board(9)))
